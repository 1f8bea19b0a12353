"""Reads NumPy archives that nobody vouches for: no pickle, and no memory for what is only claimed."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from bench import files
from bench.data import archives, pixels

_VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_SUFFIX = ".npy"


def read(path: Path, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file whose names are wanted, in the file's order.

    Raises:
        DataError: they do not fit into memory.
        Exception: a damaged file makes zipfile and NumPy raise nearly anything.
    """
    room = pixels.Room(path)
    arrays: dict[str, np.ndarray] = {}
    with files.opened(path) as file, zipfile.ZipFile(file) as archive:
        for info in archives.checked(archive, file):
            name = info.filename.removesuffix(_SUFFIX)
            if not info.filename.endswith(_SUFFIX) or not wanted(name):
                continue
            if name in arrays:
                raise ValueError(f"{info.filename!r} is there twice")
            room.take(info.file_size)
            with archive.open(info) as stream:
                arrays[name] = _array(stream, info)
    return arrays


def _array(stream: IO[bytes], info: zipfile.ZipInfo) -> np.ndarray:
    """One array. np.load would allocate what its header claims before it looks at the data."""
    version = np.lib.format.read_magic(stream)
    if version not in _VERSIONS:
        raise ValueError(f"{info.filename!r} has format version {version}")
    shape, fortran, dtype = _VERSIONS[version](stream)
    if dtype.hasobject:
        raise ValueError(f"{info.filename!r} holds Python objects, which are never loaded")
    if dtype.fields or dtype.subdtype:
        raise ValueError(f"{info.filename!r} holds records, not numbers")
    size = dtype.itemsize
    for length in shape:
        size *= length
    if min(shape, default=0) < 0 or size != info.file_size - stream.tell():
        raise ValueError(f"{info.filename!r} claims {dtype} {shape}, not the size of its data")
    if not size:
        return np.zeros(shape, dtype)
    data = bytearray()
    while part := stream.read(2**20):  # to the end, where its checksum is verified
        data += part
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
