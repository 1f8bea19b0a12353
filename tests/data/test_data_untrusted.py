"""Data files that were made to do harm: each is refused, before it takes much time or memory."""

import gzip
import io
import os
import socket
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import host
from bench.data import Preprocessing, archives, folder, idx, load, npz, pixels, tree
from bench.errors import DataError

MIB = 2**20
NAMES = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")


def picture(kind: str = "PNG", size: tuple[int, int] = (6, 5)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(file, kind)
    return file.getvalue()


def refused(read: Callable[[], Any], path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read()
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    return message


def folder_refused(path: Path) -> str:
    return refused(lambda: folder.load(path, 0, "keep"), path)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """What is done inside allocates no more than `size` bytes at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def tree_of(root: Path) -> Path:
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture())
    return root


# gzip and idx


def zeros(size: int, head: bytes = b"") -> bytes:
    """A gzip file of `head` and `size` zeros, about a thousandth as long."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, packer.flush()])


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


def zipped(path: Path, method: int, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


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


# tar


def tarred(path: Path, *members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> Path:
    """An archive of these and of four pictures."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w", format=form) as archive:
        for name in NAMES:
            plain = tarfile.TarInfo(name)
            plain.size = len(picture())
            archive.addfile(plain, io.BytesIO(picture()))
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, **about: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    for key, value in about.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    odd = info("cat/3.png", kind, linkname="1.png")
    assert "is a link or device" in folder_refused(tarred(tmp_path / "a.tar", odd))
    hidden = tarred(tmp_path / "b.tar", info(".cat/3.png", kind, linkname="/etc/passwd"))
    assert len(folder.load(hidden, 0, "keep").labels) == 4


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip(tmp_path: Path, mode: int) -> None:
    odd = zipfile.ZipInfo("cat/3.png")
    odd.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(odd, "/etc/passwd")
    assert "is a link or device" in folder_refused(tmp_path / "a.zip")


def test_a_sparse_file_in_a_tar(tmp_path: Path) -> None:
    """200 MB of zeros, of which the archive holds none."""
    odd = info("cat/3.png")
    odd.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(200 * MIB)}
    assert "is a link or device" in folder_refused(tarred(tmp_path / "a.tar", odd))


@pytest.mark.parametrize("name", ["cat/3.png", ".hidden"])
@pytest.mark.parametrize("size", [2**60, 2**28 + 1, -1])
def test_sizes_that_a_tar_only_claims(tmp_path: Path, name: str, size: int) -> None:
    """tarfile would pass over 2⁶⁰ bytes that are not there, 10 kB at a time."""
    file = tarred(tmp_path / "a.tar", info(name))
    body = bytearray(file.read_bytes())
    start = body.index(name.encode())
    body[start + 124 : start + 136] = (size % 256**12).to_bytes(12, "big")
    body[start + 124] = 0xFF if size < 0 else 0x80
    body[start + 148 : start + 156] = b" " * 8
    body[start + 148 : start + 156] = b"%06o\0 " % sum(body[start : start + 512])
    file.write_bytes(body)
    assert f"claims {size} bytes" in folder_refused(file)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_a_hundred_megabytes(tmp_path: Path, kind: bytes) -> None:
    head = info("cat/3.png", kind, size=100 * MIB).tobuf(tarfile.GNU_FORMAT)
    file = tmp_path / "a.tar.gz"
    file.write_bytes(zeros(100 * MIB, head))
    with at_most(MIB):
        assert "too long" in folder_refused(file)


def test_zeros_without_end_behind_a_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tarred(tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(zeros(20 * MIB, plain))
    assert len(folder.load(tmp_path / "a.tar.gz", 0, "keep").labels) == 4
    monkeypatch.setattr(pixels, "MOST_BYTES", 10 * MIB)
    with at_most(4 * MIB):
        assert "too long" in folder_refused(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("name", ["a.tar", "a.zip", "folder"])
def test_more_files_than_any_data_set_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = tree_of(tmp_path / "folder")
    tarred(tmp_path / "a.tar")
    zipped(tmp_path / "a.zip", 8, *((n, picture()) for n in NAMES))
    monkeypatch.setattr(tree, "MOST_ENTRIES", 6)
    assert len(folder.load(tmp_path / name, 0, "keep").labels) == 4
    monkeypatch.setattr(tree, "MOST_ENTRIES", 3)
    assert "over 3 files" in folder_refused(tmp_path / name)
    assert root.is_dir()


def test_a_tar_of_many_empty_files_takes_no_memory_for_them(tmp_path: Path) -> None:
    """gzip packs headers a hundredfold, and tarfile makes 2 kB of each if it is let."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", compresslevel=1) as archive:
        for number in range(5000):
            archive.addfile(tarfile.TarInfo(f".{number}"))
    with at_most(MIB), pytest.raises(DataError, match="one sub-folder for each class"):
        folder.load(tmp_path / "a.tar.gz", 0, "keep")


# Folders


def test_a_folder_of_pipes_sockets_and_loops(tmp_path: Path) -> None:
    root = tree_of(tmp_path / "in")
    odd = root / "cat" / "3.png"
    os.mkfifo(odd)
    assert "is a link or device" in folder_refused(root)
    odd.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(odd))
    assert "is a link or device" in folder_refused(root)
    odd.unlink()
    odd.symlink_to("3.png")
    assert folder_refused(root)
    odd.unlink()
    odd.symlink_to("missing.png")
    assert "is a link or device" in folder_refused(root)
    for target in ("/dev/zero", "..", "../..", "/"):
        odd.unlink()
        odd.symlink_to(target)
        if target != "..":
            assert "is a link that leaves" in folder_refused(root)
    odd.unlink()
    (root / "cat" / "again").symlink_to("..")  # a folder inside, but without an end
    (root / ".cat").symlink_to("/etc")
    assert len(folder.load(root, 0, "keep").labels) == 4


def test_a_folder_that_cannot_be_listed_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def denied(path: Path) -> Any:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    root = tree_of(tmp_path / "in")
    monkeypatch.setattr(os, "scandir", denied)
    assert "Permission denied" in folder_refused(root)


def test_folders_in_folders(tmp_path: Path) -> None:
    root = tree_of(tmp_path / "in")
    root.joinpath(*["d"] * 500).mkdir(parents=True)
    assert "folders deep" in folder_refused(root)
    deep = ("a/" * 5000 + "1.png", picture())
    assert "too long" in folder_refused(zipped(tmp_path / "a.zip", 8, deep))
    deep = ("a/" * 50 + "1.png", picture())
    assert "folders deep" in folder_refused(zipped(tmp_path / "b.zip", 8, deep))


@pytest.mark.parametrize(
    "name", ["cat/\n.png", "cat/\x1b[2J.png", "cat/\u2028.png", "c\x7ft/1.png"]
)
def test_names_that_cannot_be_printed(tmp_path: Path, name: str) -> None:
    file = zipped(tmp_path / "a.zip", 8, (name, picture()))
    assert "cannot be printed" in folder_refused(file)
    assert "cannot be printed" in folder_refused(tarred(tmp_path / "a.tar", info(name)))


@pytest.mark.parametrize("name", ["../1.png", "cat/../../1.png", "/cat/1.png", "//cat/1.png"])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    assert "leads out of it" in folder_refused(zipped(tmp_path / "a.zip", 8, (name, picture())))
    assert "leads out of it" in folder_refused(tarred(tmp_path / "a.tar", info(name)))


# Pictures


def test_pictures_that_do_not_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be large, but not all of them."""
    root = tree_of(tmp_path / "in")
    images, labels = np.zeros((12, 4, 4), np.uint8), np.arange(12) % 3
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    (tmp_path / "labels").write_bytes(struct.pack(">2I", idx.LABELS, 1000) + bytes(1000))
    monkeypatch.setattr(host, "memory_bytes", lambda: 2 * 4 * 6 * 5 * 3)
    assert len(folder.load(root, 0, "keep").labels) == 4
    for size in (7, 100):
        with pytest.raises(DataError, match="half of this machine's memory"):
            folder.load(root, size, "keep")
    assert "half of this" in refused(lambda: npz.load(tmp_path / "a.npz"), tmp_path)
    assert "half of this" in refused(lambda: idx.read(tmp_path / "labels", idx.LABELS), tmp_path)


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PCX", "SGI", "ICO", "DDS", "PDF", "XBM"])
def test_formats_that_are_not_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "picture"
    image = Image.new("1" if kind == "XBM" else "RGB", (16, 16))
    image.save(file, kind)
    message = refused(lambda: pixels.picture(file, None, "keep"), file)
    assert "not a readable picture (PNG, JPEG, PPM" in message


def png(width: int, height: int, body: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size", [(8001, 8000), (65_536, 1), (1, 8_000_000), (2**31 - 1, 1), (60_000, 60_000)]
)
def test_pictures_of_absurd_size(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png(*size, zlib.compress(bytes(1000))))
    with at_most(2 * MIB):
        refused(lambda: pixels.picture(file, None, "keep"), file)


def test_a_jpeg_that_goes_over_its_pixels_without_end(tmp_path: Path) -> None:
    """75 bytes a scan: of 49 million pixels, each would take 60 ms."""
    file = io.BytesIO()
    Image.new("L", (20, 20), 9).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    scan = content[content.rindex(b"\xff\xda") : -2]
    for more, good in ((10, True), (200, False)):
        (tmp_path / "a.jpg").write_bytes(content[:-2] + scan * more + content[-2:])
        if good:
            assert pixels.picture(tmp_path / "a.jpg", None, "keep").shape == (20, 20, 1)
        else:
            message = refused(lambda: pixels.picture(tmp_path / "a.jpg", None, "keep"), tmp_path)
            assert "over 100 scans" in message


def test_of_several_frames_the_first(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 3), value) for value in (10, 200, 100)]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        file = tmp_path / kind
        more = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], **more)
        assert set(pixels.picture(file, None, "gray").ravel().tolist()) == {10}


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
