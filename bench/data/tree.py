"""The files of a folder, a tar or a zip archive, one after the other, without unpacking to disk."""

import gzip
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bench.errors import DataError

MOST_BYTES = 2**28  # of one file; a picture has fewer
SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")

Entry = tuple[PurePosixPath, bytes | None]
"""A path inside the tree, and the file's bytes; None for a folder."""


def entries(path: Path) -> Iterator[Entry]:
    """Every file and folder below path, hidden ones left out, in no certain order.

    Raises:
        DataError: path is neither a folder nor such an archive, is damaged, or holds a link
            or a name that leads out of it.
    """
    name = path.name.lower()
    if not path.is_dir() and not name.endswith(SUFFIXES):
        raise DataError(f"{path}: neither a folder nor an archive ({', '.join(SUFFIXES)})")
    try:
        if path.is_dir():
            yield from _folder(path)
        elif name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                yield from _zip(path, archive)
        else:
            with path.open("rb") if name.endswith(".tar") else gzip.open(path) as stream:
                yield from _tar(path, cast(IO[bytes], stream))
    except DataError:
        raise
    except Exception as error:  # damaged archives make these modules raise nearly anything
        raise DataError(f"{path}: cannot be read ({error}): get it again") from error


def _folder(root: Path) -> Iterator[Entry]:
    inside = root.resolve()
    for path in sorted(root.rglob("*")):
        relative = _relative(root, path.relative_to(root).as_posix())
        if relative is None:
            continue
        if not path.resolve().is_relative_to(inside):
            raise DataError(f"{path}: is a link that leaves {root}: put the files themselves there")
        if path.is_dir():
            yield relative, None
        else:
            with path.open("rb") as stream:
                yield relative, _read(path, stream)


def _zip(path: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    for member in archive.infolist():
        relative = _relative(path, member.filename)
        if relative is None:
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{path}: {relative} is a link: put the file itself there")
        if member.is_dir():
            yield relative, None
        else:
            with archive.open(member) as stream:
                yield relative, _read(path / relative, stream)


def _tar(path: Path, stream: IO[bytes]) -> Iterator[Entry]:
    # "r|" reads once from front to back, so a packed archive is unpacked once.
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            relative = _relative(path, member.name)
            if relative is None:
                continue
            if member.isdir():
                yield relative, None
                continue
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                raise DataError(
                    f"{path}: {relative} is a link or device: put the file itself there"
                )
            yield relative, _read(path / relative, content)
        # Where damage looks like the end, something follows it; and gzip verifies its checksum at
        # the very end only.
        while rest := archive.fileobj.read(2**20):
            if rest.strip(b"\0"):
                raise DataError(f"{path}: is damaged, something follows its end: get it again")


def _relative(root: Path, name: str) -> PurePosixPath | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{root}: holds a file named {name!r}, which leads out of it: remove it")
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return None if hidden or not path.parts else path


def _read(path: Path, stream: IO[bytes]) -> bytes:
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"{path}: over {MOST_BYTES} bytes, too large for a picture: remove it")
    return content
