"""What tests of files that were made to do harm share."""

import io
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.data import folder
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


def zeros(size: int, head: bytes = b"") -> bytes:
    """A gzip file of `head` and `size` zeros, about a thousandth as long."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, packer.flush()])


def zipped(path: Path, method: int, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path
