"""`gtsrb` and `gtsrb3`: where they are looked for, which classes they have, how they are split."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.data import DataOptions, load
from bench.errors import DataError
from tests import made_up_data as made_up


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    made_up.gtsrb(root / "gtsrb")
    return root


def unpacked(root: Path, classes: tuple[int, ...], tracks: int = 3) -> Path:
    for name, content in made_up.pictures(classes, tracks):
        path = root / "gtsrb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_all_classes(root: Path) -> None:
    data = load("gtsrb", DataOptions(image_size=30, color="gray", test_fraction=0.4), root)
    assert data.image_shape == (30, 30, 1)
    assert data.class_names == tuple(map(str, range(43)))
    examples = 43 * 20 * made_up.FRAMES
    assert len(data.test) == round(0.4 * examples)
    assert "Stallkamp" in data.licence


def test_a_track_lies_on_one_side_of_a_split_by_group(root: Path) -> None:
    """Frames of a made-up track differ, but their number on each side tells."""
    data = load("gtsrb", DataOptions(split="group", test_fraction=0.4), root)
    for part in (data.train, data.valid, data.test):
        assert not (np.bincount(part.labels) % made_up.FRAMES).any()
    random = load("gtsrb", DataOptions(test_fraction=0.4), root)
    assert any((np.bincount(p.labels) % made_up.FRAMES).any() for p in (random.train, random.test))


def test_three_classes_from_the_archive(root: Path) -> None:
    data = load("gtsrb3", DataOptions(image_size=24, split="group"), root)
    assert data.class_names == ("0", "14", "19")
    assert data.image_shape == (24, 24, 3)
    total = [len(s) for s in (data.train, data.valid, data.test)]
    assert sum(total) == 3 * 20 * made_up.FRAMES
    with pytest.raises(DataError, match=r"--config\.data\.image_size"):
        load("gtsrb3", DataOptions(), root)


def test_three_classes_from_their_own_or_from_all_pictures(tmp_path: Path) -> None:
    options = DataOptions(image_size=8, valid_fraction=0)
    three = load("gtsrb3", options, unpacked(tmp_path / "three", (0, 14, 19)))
    more = load("gtsrb3", options, unpacked(tmp_path / "more", (0, 14, 19, 20, 3)))
    assert more.class_names == three.class_names
    assert np.bincount(more.train.labels).tolist() == np.bincount(three.train.labels).tolist()
    with pytest.raises(DataError, match="lacks a class of 0, 14, 19"):
        load("gtsrb3", options, unpacked(tmp_path / "two", (0, 14)))


def test_all_classes_from_pictures(tmp_path: Path) -> None:
    """As they are published for CS50: one zip, nothing unpacked."""
    (tmp_path / "gtsrb").mkdir()
    with zipfile.ZipFile(tmp_path / "gtsrb" / "gtsrb.zip", "w") as archive:
        for name, content in made_up.pictures(tuple(range(43)), 3):
            archive.writestr(name, content)
    data = load("gtsrb", DataOptions(split="group", test_fraction=0.34), tmp_path)
    assert data.image_shape == (32, 32, 3)
    assert data.classes == 43
    assert len(load("gtsrb3", DataOptions(image_size=9, test_fraction=0.5), tmp_path).test) == 14


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    for name, file in (("gtsrb", "gtsrb-32x32.npz"), ("gtsrb3", "gtsrb-3class-ppm.tar.gz")):
        with pytest.raises(DataError) as caught:
            load(name, DataOptions(image_size=8), tmp_path)
        message = str(caught.value)
        assert f"no {file} or gtsrb or gtsrb.zip" in message
        assert f"in {tmp_path / 'gtsrb'}: put https://" in message
        assert "\n" not in message
    with pytest.raises(DataError, match="has 3 classes, not the 43 of GTSRB"):
        load("gtsrb", DataOptions(), unpacked(tmp_path, (0, 14, 19)))
    with pytest.raises(DataError, match="did you mean 'gtsrb'"):
        load("gtsrb2", DataOptions(), tmp_path)


def test_the_real_files(shared: Path) -> None:
    three = load("gtsrb3", DataOptions(image_size=30, color="gray", test_fraction=0.4), shared)
    assert len(three.test) == 336
    whole = load("gtsrb", DataOptions(image_size=30, color="gray", test_fraction=0.4), shared)
    assert len(whole.test) == 10656
    assert whole.classes == 43
