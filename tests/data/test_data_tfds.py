"""Fashion-MNIST, prepared by TFDS's own builder from the real files, without TensorFlow."""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data import DataOptions, Source, idx, load, tfds
from bench.errors import DataError

TRAIN, TEST = 600, 200  # of 70000, which take 25 s


@pytest.fixture(scope="module")
def prepared(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TFDS finds the .gz files in its manual_dir, and verifies their checksums itself.

    Three things it does with TensorFlow are done without it here: unpacking gzip, reading the
    unpacked file (both by our own reader) and writing a PNG (by Pillow).
    """
    tensorflow_datasets = tfds._tfds()
    from tensorflow_datasets.core.features import image_feature
    from tensorflow_datasets.image_classification import mnist

    def png(_: Any, image: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image[..., 0]).save(file, "PNG")
        return file.getvalue()

    manager = tensorflow_datasets.download.DownloadManager
    place = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "_TRAIN_EXAMPLES", TRAIN)
        patch.setattr(mnist, "_TEST_EXAMPLES", TEST)
        patch.setattr(
            mnist, "_extract_mnist_images", lambda f, n: idx.read(Path(f), 2051)[:n, ..., None]
        )
        patch.setattr(
            mnist, "_extract_mnist_labels", lambda f, n: idx.read(Path(f), 2049)[:n].astype(int)
        )
        patch.setattr(manager, "download_and_extract", manager.download)
        patch.setattr(image_feature._ImageEncoder, "_encode_image", png)
        builder = tensorflow_datasets.builder(
            "fashion_mnist", data_dir=place, file_format="array_record"
        )
        files = tensorflow_datasets.download.DownloadConfig(
            manual_dir=shared / "fashion-mnist", try_download_gcs=False
        )
        builder.download_and_prepare(download_config=files)
    assert "tensorflow" not in sys.modules
    return place


@pytest.fixture(scope="module")
def original(shared: Path) -> Source:
    return idx.load("fashion_mnist", shared / "fashion-mnist")


@pytest.mark.parametrize(
    "name", ["fashion_mnist", "tfds:fashion_mnist", "tfds:fashion_mnist:3.0.1"]
)
def test_equals_the_idx_files(prepared: Path, original: Source, name: str) -> None:
    data = load(name, DataOptions(valid_fraction=0), prepared)
    assert data.class_names == original.class_names
    assert "catalog/fashion_mnist" in data.licence
    assert original.test is not None
    # TFDS shuffles; so compare as sets of (label, pixels).
    for ours, theirs, count in ((data.train, original, TRAIN), (data.test, original.test, TEST)):
        first = zip(theirs.labels[:count], theirs.images[:count], strict=True)
        assert sorted((n, i.tobytes()) for n, i in zip(ours.labels, ours.images, strict=True)) == (
            sorted((n, i.tobytes()) for n, i in first)
        )


def test_options(prepared: Path) -> None:
    options = DataOptions(image_size=8, color="rgb", classes=("Bag", 1), split="random")
    data = load("tfds:fashion_mnist", options, prepared)
    assert data.image_shape == (8, 8, 3)
    assert data.class_names == ("Bag", "Trouser")


def test_tfrecord_needs_tensorflow(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "fashion_mnist", tmp_path / "fashion_mnist")
    for info in tmp_path.rglob("dataset_info.json"):
        info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match=r"prepared as tfrecord, .*file_format='array_record'"):
        load("tfds:fashion_mnist", data_dir=tmp_path)


def test_damaged_records(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "fashion_mnist", tmp_path / "fashion_mnist")
    (records,) = tmp_path.rglob("*train.array_record*")
    content = bytearray(records.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    records.write_bytes(content)
    with pytest.raises(DataError, match="fashion_mnist"):
        load("tfds:fashion_mnist", data_dir=tmp_path)


def test_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="kmnist is not prepared: run `pip install tensorflow-cpu"):
        load("kmnist", data_dir=tmp_path)


def test_without_tfds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert tfds.names() == []
    with pytest.raises(DataError, match="pip install tensorflow-datasets"):
        load("kmnist", data_dir=tmp_path)
    with pytest.raises(DataError, match=r"no idx files .* TFDS is missing"):
        load("mnist", data_dir=tmp_path)
