import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import DataOptions, load, npz
from bench.errors import DataError

IMAGES = np.arange(12 * 4 * 4 * 3, dtype=np.uint8).reshape(12, 4, 4, 3)
LABELS = np.arange(12) % 3


def save(path: Path, **arrays: Any) -> Path:
    kept: dict[str, Any] = {"images": IMAGES, "labels": LABELS} | arrays
    kept = {name: array for name, array in kept.items() if array is not None}
    np.savez(path, **kept)
    return path


def test_gray_images_and_gaps(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npz", images=IMAGES[..., 0], labels=LABELS * 7)
    source = npz.load(file)
    assert source.images.shape == (12, 4, 4, 1)
    assert source.class_names == ("0", "7", "14")
    np.testing.assert_array_equal(source.labels, LABELS)
    assert load("npz:a.npz", DataOptions(classes=(14, 7)), tmp_path).class_names == ("14", "7")


def test_optional_arrays(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c"])
    file = save(
        tmp_path / "a.npz",
        images=np.asfortranarray(IMAGES),
        test_images=IMAGES[:2],
        test_labels=LABELS[:2],
        class_names=names,
        track=np.arange(12, dtype=np.uint16) // 6,
    )
    source = npz.load(file)
    assert source.class_names == ("a", "b", "c")
    assert source.test is not None
    assert len(source.test) == 2
    np.testing.assert_array_equal(source.images, IMAGES)
    assert source.groups is not None
    assert len(np.unique(source.groups)) == 6  # a track number is unique within its class only


@pytest.mark.parametrize(
    ("arrays", "clause"),
    [
        ({"labels": None}, "no array 'labels'"),
        ({"images": None}, "no array 'images'"),
        ({"images": IMAGES.astype(np.float32)}, "images is float32"),
        ({"images": IMAGES[0, 0]}, "must be non-empty uint8"),
        ({"images": IMAGES[:0]}, "must be non-empty uint8"),
        ({"images": IMAGES[:11]}, "labels is int64"),
        ({"labels": LABELS.astype(np.float64)}, "must be integers"),
        ({"labels": LABELS - 1}, "labels has -1"),
        ({"labels": LABELS + 10**6}, "labels has 1000002"),
        ({"labels": LABELS.astype(object)}, "Python objects"),
        ({"labels": LABELS * 0}, "has 1 class"),
        ({"images": np.repeat(IMAGES, 2, 3)}, "6 channels"),
        ({"test_images": IMAGES}, "go together"),
        ({"test_images": IMAGES[:, :2], "test_labels": LABELS}, "differ in shape"),
        ({"groups": LABELS[:3]}, "groups is"),
        ({"class_names": np.array(["a", "b"])}, "must be 3 strings"),
        ({"class_names": np.array(["a", "b", "a"])}, "same name"),
    ],
)
def test_wrong_arrays(tmp_path: Path, arrays: dict[str, Any], clause: str) -> None:
    save(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=clause):
        load("npz:a.npz", data_dir=tmp_path)


def test_a_header_that_claims_too_much(tmp_path: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
    with pytest.raises(DataError, match="not the size of its data"):
        npz.load(tmp_path / "a.npz")


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_mutated_bytes_raise_only_data_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "mutated.npz"
    content = bytearray(save(file).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.sampled_from([len(content), 500, 100, 0]))])
    try:
        load(f"npz:{file}")
    except DataError as error:
        assert str(file) in str(error)  # noqa: PT017
