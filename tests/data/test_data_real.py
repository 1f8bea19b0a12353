"""Every loader on real files, against the numbers published with them."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data import DataOptions, Source, digits, folder, idx, load, npz
from bench.data.prepare import prepare
from bench.errors import ConfigError, DataError

MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_digits_need_no_files() -> None:
    data = load("digits")
    assert [len(s) for s in (data.train, data.valid, data.test)] == [1222, 216, 359]
    assert data.image_shape == (8, 8, 1)
    assert data.classes == 10
    assert data.train.images.max() == 255
    assert data.train.labels.dtype == np.int32
    assert "CC BY 4.0" in data.licence


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    ours, theirs = digits.load(), load_digits()
    scaled = theirs.images.astype(np.float32) * 255 / 16
    assert np.abs(ours.images[..., 0] - scaled).max() <= 0.5
    np.testing.assert_array_equal(ours.labels, theirs.target)


def test_without_scikit_learn_digits_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        digits.load()
    hollow = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(digits, "find_spec", lambda _: hollow)
    with pytest.raises(DataError, match=r"digits\.csv\.gz is missing"):
        digits.load()


@pytest.mark.parametrize(
    ("name", "train", "test", "mean", "std"),
    [
        ("mnist", MNIST_TRAIN, MNIST_TEST, 0.1307, 0.3081),
        ("fashion_mnist", [6000] * 10, [1000] * 10, 0.2860, 0.3530),
    ],
)
def test_idx(
    shared: Path, name: str, train: list[int], test: list[int], mean: float, std: float
) -> None:
    data = load(name, DataOptions(valid_fraction=0), shared)
    assert np.bincount(data.train.labels).tolist() == train
    assert np.bincount(data.test.labels).tolist() == test
    assert len(data.valid) == 0
    assert data.image_shape == (28, 28, 1)
    assert data.preprocessing.mean[0] == pytest.approx(mean, abs=5e-5)
    assert data.preprocessing.std[0] == pytest.approx(std, abs=5e-5)


def test_idx_files_may_lie_in_data_dir_itself(shared: Path) -> None:
    folder_ = shared / "fashion-mnist"
    assert idx.find("fashion_mnist", shared) == idx.find("fashion_mnist", folder_) == folder_


@pytest.fixture(scope="module")
def gtsrb(shared: Path) -> Source:
    return npz.load(shared / "gtsrb" / "gtsrb-32x32.npz")


def test_gtsrb_npz(gtsrb: Source) -> None:
    source = gtsrb
    assert source.images.shape == (26640, 32, 32, 3)
    assert np.bincount(source.labels)[[0, 1, 14, 42]].tolist() == [150, 1500, 540, 180]
    assert source.groups is not None
    assert np.bincount(source.groups).tolist() == [30] * 888
    mean = source.images.mean((0, 1, 2), np.float64) / 255
    assert mean == pytest.approx([0.3417, 0.3126, 0.3216], abs=5e-5)

    data = prepare("gtsrb", source, DataOptions(split="group", classes=(14, "0", 19)))
    assert data.class_names == ("14", "0", "19")
    assert [len(s) % 30 for s in (data.train, data.valid, data.test)] == [0, 0, 0]


def test_gtsrb_folder_equals_npz(shared: Path, gtsrb: Source) -> None:
    source = folder.load(shared / "gtsrb" / "gtsrb-3class-ppm.tar.gz", 32, "keep")
    assert source.images.shape == (840, 32, 32, 3)
    assert source.class_names == ("0", "14", "19")
    assert np.bincount(source.labels).tolist() == [150, 540, 150]
    assert source.groups is not None
    assert np.bincount(source.groups).tolist() == [30] * 28
    same = np.isin(gtsrb.labels, [0, 14, 19])
    np.testing.assert_array_equal(source.images, gtsrb.images[same])


def test_sizes_that_differ_name_the_option(shared: Path) -> None:
    with pytest.raises(DataError, match=r"--config\.data\.image_size=32"):
        load("folder:gtsrb/gtsrb-3class-ppm.tar.gz", data_dir=shared)


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("minst", "unknown dataset 'minst': did you mean 'mnist'?"),
        ("tfds:mnst", "did you mean 'mnist'?"),
        ("../evil", "unknown dataset"),
        ("", "unknown dataset"),
        ("huggingface:x", "unknown dataset"),
        ("npz:nowhere.npz", "nothing at nowhere.npz or "),
        ("folder:~no_such_user_/x", "write the folder out"),
        ("npz:\0", "nothing at"),
    ],
)
def test_unknown_names_and_paths(name: str, clause: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(name, data_dir=tmp_path)
    assert clause in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_everywhere_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load("mnist", data_dir=tmp_path)
    text = str(caught.value)
    assert str(tmp_path / "mnist") in text
    assert "file_format='array_record'" in text
    assert "\n" not in text


def test_group_split_needs_groups() -> None:
    with pytest.raises(ConfigError, match="digits has no groups"):
        load("digits", DataOptions(split="group"))


def test_import_is_cheap() -> None:
    heavy = "{'jax', 'tensorflow', 'tensorflow_datasets', 'sklearn', 'scipy', 'pandas'}"
    code = f"import sys, bench.data; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
