"""The files of a folder, a tar or a zip archive, one after the other, without unpacking to disk."""

import gzip
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bench import files
from bench.data import archives, pixels
from bench.data.archives import Member
from bench.errors import CONTROL, DataError, brief

MOST_ENTRIES = 2**22  # files and folders; ImageNet has 1.3 million
MOST_DEPTH = 16  # folders in one another
MOST_NAME = 4096  # characters of a name with its folders; no file system allows more
SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")

Entry = tuple[PurePosixPath, bytes | None]
"""A path inside the tree, and the file's bytes; None for a folder."""


def entries(path: Path) -> Iterator[Entry]:
    """Every file and folder below path, hidden ones left out, in no certain order.

    Raises:
        DataError: path is neither a folder nor such an archive, is damaged, or holds a link, a device, a
            name that leads out of it or cannot be printed, or more than any data set has.
    """
    if not path.is_dir() and not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path}: neither a folder nor an archive ({', '.join(SUFFIXES)})")
    try:
        for number, member in enumerate(_members(path)):
            relative = _relative(path, member.name, number)
            if relative is not None:
                yield relative, _content(path, relative, member)
    except DataError:
        raise
    except Exception as error:  # damaged archives make these modules raise nearly anything
        raise DataError(f"{path}: cannot be read ({brief(error)}): get it again") from error


def _members(path: Path) -> Iterator[Member]:
    if path.is_dir():
        yield from _walk(path)
        return
    with files.opened(path) as file:
        name = path.name.lower()
        if name.endswith(".zip"):
            yield from archives.zipped(file)
        elif name.endswith(".tar"):
            yield from archives.tarred(file)
        else:
            with gzip.GzipFile(fileobj=file) as stream:
                yield from archives.tarred(cast(IO[bytes], stream))


def _walk(root: Path) -> Iterator[Member]:
    """What a folder holds. Folders that are links are told, but not gone into."""
    inside = root.resolve()
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            here = sorted(found, key=lambda entry: entry.name)
        for entry in here:
            path = Path(entry.path)
            name = path.relative_to(root).as_posix()
            if _relative(root, name) is None:
                continue
            if entry.is_symlink() and not path.resolve().is_relative_to(inside):
                raise DataError(
                    f"{path}: is a link that leaves {root}: put the files themselves there"
                )
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            kind = "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
            yield Member(name, kind, partial(files.opened, path))


def _relative(root: Path, name: str, number: int = 0) -> PurePosixPath | None:
    """The path inside the tree of its entry of this number and name; None for what is hidden."""
    if number >= MOST_ENTRIES:
        raise DataError(f"{root}: over {MOST_ENTRIES} files: use fewer")
    shown = f"{root}: holds a file named {name[:80]!r}"
    if len(name) > MOST_NAME or CONTROL.search(name):
        raise DataError(f"{shown}, which is too long or cannot be printed: rename it")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{shown}, which leads out of it: remove it")
    if len(path.parts) > MOST_DEPTH:
        raise DataError(f"{shown}…, over {MOST_DEPTH} folders deep: put pictures higher")
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return None if hidden or not path.parts else path


def _content(root: Path, name: PurePosixPath, member: Member) -> bytes | None:
    """A file's bytes, None for a folder."""
    if member.kind == "folder":
        return None
    if member.kind != "file":
        raise DataError(f"{root}: {name} is a link or device: put the file itself there")
    with member.open() as stream:
        content = bytes(files.at_most(stream, pixels.MOST_BYTES + 1))
    if len(content) > pixels.MOST_BYTES:
        raise DataError(
            f"{root / name}: over {pixels.MOST_BYTES} bytes, too large for a picture: remove it"
        )
    return content
