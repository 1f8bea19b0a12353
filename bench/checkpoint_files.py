"""The files of one checkpoint, how they are written, and what is asked of them before they are believed.

    arrays/          of Orbax: every array as Zarr in OCDBT, uncompressed
    about.json       what is no array; of each array its name, dtype and shape
    manifest.json    size and SHA-256 of every other file; given its name when all else is on the disk

The manifest is ours since Orbax restores flipped bits without a word. Its form is the same in every schema,
so that damage is never taken for a newer schema.

The files are not trusted. There is no pickle: about.json is JSON, an array is the bytes of a stated dtype.
Arrays are read by TensorStore, on which Orbax stands, in no layout but the one they are written in. Orbax
itself follows what it finds, and an array that claims an absurd size ends the process.
"""

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.journal import RecordError

SCHEMA = 1
MANIFEST = "manifest.json"
_DTYPES = {"bool", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_INLINE_BYTES = 1024  # of up to this size arrays lie in OCDBT's index, which is compressed


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it was read.

    Attributes:
        number: of the checkpoint; they count up.
        about: what is no array.
        arrays: {program: {path of a leaf: array}}, bitwise what was saved.
    """

    number: int
    about: dict[str, Any]
    arrays: dict[str, dict[str, np.ndarray]]


class DamagedError(Exception):
    """What is wrong with a checkpoint."""


def described(
    about: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[bytes, dict[str, np.ndarray]]:
    """about.json, and the arrays by their numbers: paths may hold any character, Orbax's names may not.

    Raises:
        TypeError: `about` is not JSON.
        ValueError: an array has a dtype that is not kept.
    """
    shapes: dict[str, dict[str, Any]] = {program: {} for program in arrays}
    flat = []
    for program, leaves in arrays.items():
        for path, leaf in leaves.items():
            array = np.asarray(leaf)  # of no dimension it may be a scalar
            if array.dtype.name not in _DTYPES or not array.dtype.isnative:
                raise ValueError(f"checkpoints hold no arrays of {array.dtype!r}: {path}")
            shapes[program][path] = (array.dtype.name, array.shape)
            flat.append(array)
    text = json.dumps({"schema": SCHEMA, "about": dict(about), "arrays": shapes})
    return text.encode(), {str(number): array for number, array in enumerate(flat)}


def write(folder: Path, about: bytes, arrays: Mapping[str, np.ndarray]) -> None:
    """Fills an empty folder with what `described` gives; returns when the disk has all of it.

    Raises:
        Exception: of any kind, from the file system by way of Orbax.
    """
    commit(folder / "arrays", {name: array for name, array in arrays.items() if array.size})
    (folder / "about.json").write_bytes(about)
    unnamed = folder / f".{MANIFEST}"
    content = json.dumps(_contents(folder), indent=1).encode()
    unnamed.write_bytes(content)
    for root, _, names in os.walk(folder):
        for name in (*names, ""):
            _flush(Path(root, name))
    unnamed.replace(folder / MANIFEST)
    for changed in (folder, folder.parent, folder.parent.parent):
        _flush(changed)


def commit(folder: Path, arrays: Mapping[str, Any]) -> None:
    """Writes a tree of arrays, nested dicts, as an Orbax checkpoint in a folder that it makes.

    Raises:
        Exception: of any kind, from the file system by way of Orbax.
    """
    if not arrays:  # Orbax refuses a tree without leaves
        return
    import orbax.checkpoint as ocp  # type: ignore[import-untyped]  # takes 0.3 s
    from absl import logging as absl_logging

    absl_logging.get_absl_logger().addFilter(_not_of_orbax)
    numpy_alone = ocp.type_handlers.create_type_handler_registry(
        (np.ndarray, ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False))
    )
    # Uncompressed, since parameters hardly shrink, and since then sizes can be checked before reading.
    handler = ocp.BasePyTreeCheckpointHandler(
        use_compression=False, type_handler_registry=numpy_alone
    )
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder, arrays)


def _not_of_orbax(record: logging.LogRecord) -> bool:
    # It logs each failure with tracebacks. The user is told in one line, by `Checkpoints`.
    return "orbax" not in Path(record.pathname).parts


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _contents(folder: Path) -> dict[str, dict[str, Any]]:
    """{path in the folder: size in bytes and SHA-256} of every file but the manifest."""
    found, todo = {}, [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                name = path.relative_to(folder).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    todo.append(path)
                elif not entry.is_file(follow_symlinks=False):  # a link could lead anywhere
                    raise DamagedError(f"{name!a} is no plain file")
                elif name != MANIFEST:
                    with path.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    found[name] = {"size": path.stat().st_size, "sha256": digest}
    return found


def read(folder: Path) -> Saved:
    """A checkpoint, verified.

    Raises:
        DamagedError: anything amiss with it; says what.
        RecordError: a newer version wrote it.
        MemoryError: it does not fit; that is no damage.
    """
    try:
        return _restored(folder, _verified(folder))
    except (DamagedError, RecordError, MemoryError):
        raise
    except Exception as error:  # files made by hand can bring about any
        raise DamagedError(reason(error)) from error


def _verified(folder: Path) -> int:
    """Holds a folder against its manifest; returns how many bytes its files have."""
    if folder.is_symlink() or not (folder / MANIFEST).exists():
        raise DamagedError("it was not finished")
    found = _contents(folder)
    recorded = json.loads((folder / MANIFEST).read_bytes())
    for name in sorted({*found, *recorded}):
        if name not in found:
            raise DamagedError(f"{name[:80]!a} is missing")
        if found[name] != recorded.get(name):
            how = "is not as it was written" if name in recorded else "was added"
            raise DamagedError(f"{name!a} {how}")
    return sum(file["size"] for file in found.values())


def _restored(folder: Path, stored_bytes: int) -> Saved:
    text = json.loads((folder / "about.json").read_bytes())
    schema, about, arrays = text["schema"], text["about"], text["arrays"]
    if type(schema) is int and schema > SCHEMA:
        raise RecordError(
            f"{folder} has schema {schema} and this version reads schema {SCHEMA}; upgrade Convoy"
        )
    leaves = list(_leaves(arrays))
    sizes = (math.prod(shape) * dtype.itemsize for _, _, dtype, shape in leaves)
    fits = sum(max(0, size - _INLINE_BYTES) for size in sizes) <= stored_bytes
    if schema != SCHEMA or not isinstance(about, dict) or not fits:
        raise DamagedError("'about.json' does not describe the files")
    restored: dict[str, dict[str, np.ndarray]] = {program: {} for program in arrays}
    loaded = _load(folder / "arrays", [leaf[2:] for leaf in leaves])
    for (program, path, _, _), array in zip(leaves, loaded, strict=True):
        restored[program][path] = array
    return Saved(int(folder.name), about, restored)


def _leaves(arrays: Any) -> Iterator[tuple[str, str, np.dtype, tuple[int, ...]]]:
    """(program, path, dtype, shape) of each array in about.json, in order of their numbers."""
    for program, paths in arrays.items():
        for path, (dtype, shape) in paths.items():
            if dtype not in _DTYPES or not all(type(n) is int and n >= 0 for n in shape):
                raise DamagedError("'about.json' states a dtype or shape that there is not")
            yield program, path, np.dtype(dtype), tuple(shape)


def _load(folder: Path, arrays: list[tuple[np.dtype, tuple[int, ...]]]) -> list[np.ndarray]:
    """Arrays 0, 1, … of these dtypes and shapes; those without elements are not on the disk."""
    import tensorstore as ts

    context = ts.Context({"cache_pool#index": {"total_bytes_limit": 100_000_000}})
    kvstore = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/"}}
    kvstore["cache_pool"] = "cache_pool#index"

    def opened(number: int, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
        layout = {"shape": shape, "dtype": dtype.str, "compressor": None, "filters": None}
        spec = {"driver": "zarr", "kvstore": {**kvstore, "path": f"{number}/"}, "metadata": layout}
        return ts.open({**spec, "fill_missing_data_reads": False}, open=True, context=context)

    def begun(store: Any, shape: tuple[int, ...]) -> Any:
        chunk = store.chunk_layout.read_chunk.shape or ()
        if any(c > n for c, n in zip(chunk, shape, strict=True)):
            raise DamagedError("an array has chunks larger than itself")
        return store.read()

    there = {i: array for i, array in enumerate(arrays) if 0 not in array[1]}
    stores = {i: opened(i, *array) for i, array in there.items()}
    reads = {i: begun(store.result(), arrays[i][1]) for i, store in stores.items()}
    return [
        reads[i].result() if i in reads else np.zeros(shape, dtype)
        for i, (dtype, shape) in enumerate(arrays)
    ]


def reason(error: Exception) -> str:
    """Why it failed, in a few words of one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    code = re.search(r"os_error_code='([0-9]+)'", str(error))  # TensorStore's
    if code:
        return os.strerror(int(code[1]))
    return f"{type(error).__name__}: {' '.join(str(error).split())[:100]!a}"
