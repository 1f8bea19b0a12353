import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import idx, load
from bench.errors import DataError

PIXELS = np.arange(20 * 4 * 3, dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def images(count: int = 20, height: int = 4, width: int = 3, magic: int = 2051) -> bytes:
    return struct.pack(">4I", magic, count, height, width) + PIXELS.tobytes()


def labels(values: np.ndarray = LABELS) -> bytes:
    return struct.pack(">2I", 2049, len(values)) + values.tobytes()


def pack(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def write(folder: Path, dash: str = "-", end: str = ".gz", **changed: bytes) -> None:
    """All four files, but those parts that are given, e.g. train_labels=b""."""
    folder.mkdir(exist_ok=True)
    for side in ("train", "t10k"):
        for kind, content, d in (("images", images(), 3), ("labels", labels(), 1)):
            packed = pack(content) if end else content
            file = folder / f"{side}-{kind}{dash}idx{d}-ubyte{end}"
            file.write_bytes(changed.get(f"{side}_{kind}", packed))


@pytest.mark.parametrize("dash", ["-", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("place", ["mnist", ""])
def test_all_spellings(tmp_path: Path, dash: str, end: str, place: str) -> None:
    write(tmp_path / place, dash, end)
    data = load("mnist", data_dir=tmp_path)
    assert data.image_shape == (4, 3, 1)
    assert len(data.train) + len(data.valid) == len(data.test) == 20
    np.testing.assert_array_equal(data.test.images.ravel(), PIXELS)


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"train_images": pack(images())[:-20]}, "cannot be read"),
        ({"train_images": pack(images()[:-1])}, "255 bytes|239 bytes"),
        ({"train_images": pack(images() + b"x")}, "more bytes"),
        ({"train_images": pack(images(magic=2049))}, "magic number 2049 instead of 2051"),
        ({"train_images": pack(images(2**31, 2**15, 2**15))}, "header claims"),
        ({"train_images": pack(images(2**30, 1, 1))}, "where its header says 1073741824"),
        ({"train_images": pack(images(0))}, "header claims"),
        ({"train_images": b""}, "ends inside its header"),
        ({"train_labels": pack(labels(LABELS[:-1]))}, "19 labels for 20 images"),
        ({"t10k_labels": pack(labels(LABELS + 1))}, "label 10 is over 9"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, changed: dict[str, bytes], clause: str) -> None:
    write(tmp_path, "-", ".gz", **changed)
    with pytest.raises(DataError, match=clause) as caught:
        load("mnist", data_dir=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert next(iter(changed)).replace("_", "-") in str(caught.value)


def test_missing_sibling(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx.* is missing"):
        load("mnist", data_dir=tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that goes on and on, no more is read than its header claims, and one byte."""
    stream = io.BytesIO(images() + bytes(10**7))
    file = tmp_path / "bomb"
    file.write_bytes(b"\x1f\x8b")
    monkeypatch.setattr(gzip, "GzipFile", lambda fileobj: stream)
    with pytest.raises(DataError, match="more bytes"):
        idx.read(file, idx.IMAGES)
    with pytest.raises(ValueError, match="closed"):
        stream.tell()


@settings(deadline=None, max_examples=100)
@given(data=st.data(), packed=st.booleans())
def test_mutated_bytes_raise_only_data_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, packed: bool
) -> None:
    content = bytearray(pack(images()) if packed else images())
    for place in data.draw(st.lists(st.integers(0, min(len(content) - 1, 60)), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "mutated"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert idx.read(file, idx.IMAGES).size == PIXELS.size
    except DataError as error:
        assert str(file) in str(error)  # noqa: PT017
