"""Opening files that nobody vouches for: a data set from the net, a run directory from another machine."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Protocol


class Readable(Protocol):
    """An open file, packed or not."""

    def read(self, size: int, /) -> bytes: ...


def opened(path: Path) -> BinaryIO:
    """A plain file, open for reading. To open a pipe would be to wait until somebody writes to it.

    Raises:
        OSError: it is something else, or cannot be opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return path.open("rb")


def length(file: BinaryIO) -> int:
    """Bytes of a plain file that is open."""
    return os.fstat(file.fileno()).st_size


def content(path: Path, most_bytes: int) -> bytes:
    """All of a plain file.

    Raises:
        OSError: as `opened`; or it is longer than `most_bytes`, and nothing of it is read.
    """
    with opened(path) as file:
        if length(file) > most_bytes:
            raise OSError(errno.EFBIG, f"over {most_bytes} bytes", str(path))
        return bytes(at_most(file, most_bytes))


def at_most(stream: Readable, count: int) -> bytearray:
    """Up to `count` bytes. Memory grows with what is there: `read` would take it for all that is asked."""
    found = bytearray()
    while part := stream.read(min(count - len(found), 2**20)):
        found += part
    return found
