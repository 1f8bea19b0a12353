"""What tar and zip archives hold, one member after the other, without unpacking to disk.

Nobody vouches for them: no size that they claim is believed before it is checked.
"""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, BinaryIO, NamedTuple, cast

from bench import files
from bench.data import pixels

MOST_RATIO = 1032  # DEFLATE packs no tighter: https://zlib.net/zlib_tech.html
# Between the contents of two files of a tar lie names and attributes. tarfile reads 10 kB at once.
_HEADERS = 2**15


class Member(NamedTuple):
    """A part of a tree: its name, its kind ("file", "folder", or "other": a link, a device), its content."""

    name: str
    kind: str
    open: Callable[[], IO[bytes]]


def zipped(file: BinaryIO) -> Iterator[Member]:
    """The members of a zip archive.

    Raises:
        Exception: a damaged archive makes `zipfile` raise nearly anything.
    """
    with zipfile.ZipFile(file) as archive:
        for info in checked(archive, file):
            kind = stat.S_IFMT(info.external_attr >> 16)
            plain = "file" if kind in (0, stat.S_IFREG) else "other"
            yield Member(
                info.filename, "folder" if info.is_dir() else plain, partial(archive.open, info)
            )


def checked(archive: zipfile.ZipFile, file: BinaryIO) -> list[zipfile.ZipInfo]:
    """The members of a zip archive, if `file` can hold what they claim.

    Raises:
        ValueError: they share bytes, as those of a zip bomb do; or are packed otherwise than by DEFLATE,
            whose relatives `zipfile` unpacks without any bound.
    """
    members = archive.infolist()
    for info in members:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{info.filename[:80]!r} is not packed by deflate: pack it again")
    if sum(info.file_size for info in members) > MOST_RATIO * files.length(file):
        raise ValueError("it claims to hold more than a file of its length can")
    return members


def tarred(stream: IO[bytes]) -> Iterator[Member]:
    """The members of a tar archive, to be opened before the next is asked for.

    Raises:
        Exception: a damaged archive makes `tarfile` raise nearly anything.
    """
    metered = _Metered(stream)
    # "r|" reads once from front to back, so a packed archive is unpacked once.
    with tarfile.open(fileobj=cast(IO[bytes], metered), mode="r|") as archive:
        inner: Any = archive.fileobj
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
            if not 0 <= member.size <= pixels.MOST_BYTES:
                raise ValueError(f"{member.name[:80]!r} claims {member.size} bytes")
            # A sparse file is zeros that are only claimed.
            plain = "file" if member.isreg() and not member.issparse() else "other"
            metered.left = member.size + _HEADERS
            yield Member(
                member.name,
                "folder" if member.isdir() else plain,
                cast(Callable[[], IO[bytes]], partial(archive.extractfile, member)),
            )
            inner.seek(archive.offset)  # passes over what was not read
            metered.left = _HEADERS
        # Where damage looks like the end, something follows it; and gzip verifies its checksum at
        # the very end only.
        metered.left = pixels.MOST_BYTES
        while rest := inner.read(2**20):
            if rest.strip(b"\0"):
                raise ValueError("something follows its end")


class _Metered:
    """A stream that ends with an error where more is read than is `left`."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.left = _HEADERS

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError("headers, or what follows the end, are too long")
        return content
