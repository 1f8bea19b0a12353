"""Archives and folders of pictures that were made to do harm: each is refused, before it takes much."""

import io
import os
import socket
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bench.data import folder, pixels, tree
from bench.errors import DataError
from tests.untrusted import MIB, NAMES, at_most, folder_refused, picture, tree_of, zeros, zipped

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
        # All of one name: pathlib interns names, in a table that may grow at any time.
        for _ in range(5000):
            archive.addfile(tarfile.TarInfo(".0"))
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
