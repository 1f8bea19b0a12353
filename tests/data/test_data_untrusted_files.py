"""gzip, idx and npz files that were made to do harm: each is refused, before it takes much."""

import gzip
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data import Preprocessing, archives, idx, load, npz
from bench.errors import DataError
from tests.untrusted import MIB, at_most, folder_refused, picture, refused, zeros, zipped

# gzip and idx


@pytest.mark.parametrize("claimed", [100, 200 * MIB, 2**31, 2**32 - 1])
def test_of_a_gzip_bomb_no_more_is_unpacked_than_its_length_can_hold(
    tmp_path: Path, claimed: int
) -> None:
    file = tmp_path / "bomb.gz"
    file.write_bytes(zeros(100 * MIB, struct.pack(">2I", idx.LABELS, claimed)))
    assert file.stat().st_size < MIB
    with at_most(130 * MIB if claimed == 200 * MIB else 3 * MIB):
        message = refused(lambda: idx.read(file, idx.LABELS), file)
    assert "header" in message


def test_an_idx_header_is_held_against_the_length_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(struct.pack(">2I", idx.LABELS, 2**30) + bytes(10))
    with at_most(MIB):
        assert "under 18 bytes" in refused(lambda: idx.read(file, idx.LABELS), file)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    for name in ("a.npz", "a.tar.gz", "a.tar", "a.zip", "train-labels-idx1-ubyte"):
        if name != "a.npz":
            (tmp_path / name).symlink_to("a.npz")
    message = refused(lambda: npz.load(tmp_path / "a.npz"), tmp_path)
    assert "not a plain file" in message
    for name in ("a.tar.gz", "a.tar", "a.zip"):
        assert "not a plain file" in folder_refused(tmp_path / name)
    path = tmp_path / "train-labels-idx1-ubyte"
    assert "not a plain file" in refused(lambda: idx.read(path, idx.LABELS), path)
    look = Preprocessing(4, 4, 1, (0.5,), (0.2,))
    assert "not a plain file" in refused(lambda: look.picture(path), path)


# zip and npz


def member(content: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.frombuffer(content, np.uint8))
    return file.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_are_packed_by_deflate_alone(tmp_path: Path, method: int) -> None:
    """zipfile unpacks the others without a bound: 100 bytes of bzip2 are 45 MB."""
    file = zipped(tmp_path / "a.npz", method, ("images.npy", member(bytes(50 * MIB))))
    pictures = zipped(tmp_path / "a.zip", method, ("cat/1.png", picture() + bytes(50 * MIB)))
    with at_most(2 * MIB):
        assert "not packed by deflate" in refused(lambda: npz.load(file), file)
        assert "not packed by deflate" in folder_refused(pictures)


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """A zip bomb in which the directory names the same bytes a thousand times."""
    content = picture() + bytes(10 * MIB)
    file = zipped(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, ("cat/0001.png", content))
    whole = file.read_bytes()
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entries = [whole[start:end].replace(b"0001", b"%04d" % n) for n in range(1000)]
    size = sum(map(len, entries))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1000, 1000, size, start, 0)
    file.write_bytes(whole[:start] + b"".join(entries) + tail)
    assert "more than a file of its length can" in folder_refused(file)


def test_a_name_twice_in_an_npz(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = zipped(
            tmp_path / "a.npz", 8, ("images.npy", member(b"1")), ("images.npy", member(b"2"))
        )
    assert "is there twice" in refused(lambda: npz.load(file), file)


@pytest.mark.parametrize(
    ("claim", "clause"),
    [
        ({"shape": (-2, -6)}, "claims uint8"),
        ({"shape": (10**9, 10**9)}, "claims uint8"),
        ({"shape": (13,)}, "claims uint8"),
        ({"descr": "<U536870911", "shape": ()}, "not the size of its data"),
        ({"descr": [("a", "|u1", (12,))], "shape": ()}, "holds records"),
        ({"descr": [("a", [("b", "|O")])], "shape": (1,)}, "Python objects"),
        ({"descr": ("|u1", (12,)), "shape": ()}, "npz archive"),
        ({"shape": (1,) * 70 + (12,)}, "npz archive"),
        ({"shape": "x"}, "npz archive"),
        ({"descr": "|V0", "shape": (10**30,)}, "npz archive"),
    ],
)
def test_headers_that_lie(tmp_path: Path, claim: dict[str, Any], clause: str) -> None:
    header = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (12,), **claim}
    np.lib.format.write_array_header_1_0(header, about)
    content = header.getvalue() + bytes(12)
    file = zipped(tmp_path / "a.npz", 8, ("images.npy", content), ("labels.npy", member(b"12")))
    with at_most(MIB):
        assert clause in refused(lambda: npz.load(file), file)


def test_names_of_classes_that_are_no_text(tmp_path: Path) -> None:
    images, labels = np.zeros((12, 4, 4), np.uint8), np.arange(12) % 3
    for odd, clause in (
        (np.array([65, 66, 0x110000], "<u4").view("<U1"), "class_names is no text"),
        (np.array(["a", "b", "\ud800"]), "cannot be printed"),
        (np.array(["a", "b", "c\nd"]), "cannot be printed"),
        (np.array(["a", "b", "c" * 256]), "too long"),
    ):
        np.savez(tmp_path / "a.npz", images=images, labels=labels, class_names=odd)
        name = f"npz:{tmp_path / 'a.npz'}"
        assert clause in refused(lambda name=name: load(name), tmp_path)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0, -1, "x", None, [], 10**400, 1e9])
@pytest.mark.parametrize("key", ["height", "width", "channels", "mean", "std"])
def test_preprocessing_that_cannot_be(key: str, value: Any) -> None:
    record = Preprocessing(8, 9, 1, (0.5,), (0.25,)).to_json()
    assert Preprocessing.from_json(record).to_json() == record
    wrong = [value] if key in ("mean", "std") else value
    if key == "mean" and value in (0, -1, 1e9):
        return  # a mean may be anything finite
    if key == "std" and value == 1e9:
        return
    with pytest.raises(DataError) as caught:
        Preprocessing.from_json({**record, key: wrong})
    assert str(caught.value).isprintable()


def test_gzip_packs_no_tighter_than_is_said() -> None:
    assert 10 * MIB / len(zeros(10 * MIB)) < archives.MOST_RATIO
    assert len(gzip.decompress(zeros(10 * MIB))) == 10 * MIB
