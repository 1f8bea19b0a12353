"""Opening files that nobody vouches for: a data set from the net, a run directory from another machine."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


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
        return file.read(most_bytes)
