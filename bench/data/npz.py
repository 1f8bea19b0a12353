"""A data set in one NumPy archive: arrays `images` and `labels`, and some that may be added."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench.data.dataset import Source, Split
from bench.errors import DataError

MOST_BYTES = 2**34  # of one array, unpacked
MOST_LABEL = 9999  # ImageNet-21k has more, but does not fit into memory
_REQUIRED = ("images", "labels")
_KNOWN = (*_REQUIRED, "test_images", "test_labels", "groups", "track", "class_names")


def load(path: Path) -> Source:
    """Reads `images` (N, H, W) or (N, H, W, C) uint8 and `labels` (N,) ints.

    Optional: `test_images` and `test_labels`; `groups` (N,) ints, or `track` (N,) ints, unique
    within a class only, as GTSRB has them; `class_names`. Without names the labels are the names,
    and are renumbered where they have gaps.

    Raises:
        DataError: not such an archive, or damaged; nothing is ever unpickled.
    """
    arrays = _arrays(path)
    for name in _REQUIRED:
        if name not in arrays:
            raise DataError(f"{path}: no array {name!r}: save it with np.savez(images=, labels=)")
    if ("test_images" in arrays) != ("test_labels" in arrays):
        raise DataError(f"{path}: test_images and test_labels go together: add the other one")
    train = _split(path, arrays, "")
    test = _split(path, arrays, "test_") if "test_images" in arrays else None
    groups = _groups(path, arrays, train.labels)
    present = np.unique(np.concatenate([s.labels for s in (train, test) if s is not None]))
    names = _names(path, arrays.get("class_names"), present)
    if "class_names" not in arrays:
        train = Split(train.images, np.searchsorted(present, train.labels).astype(np.int32))
        if test is not None:
            test = Split(test.images, np.searchsorted(present, test.labels).astype(np.int32))
    return Source(train.images, train.labels, names, "unknown", groups, test)


def _split(path: Path, arrays: dict[str, np.ndarray], prefix: str) -> Split:
    images, labels = arrays[f"{prefix}images"], arrays[f"{prefix}labels"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise DataError(
            f"{path}: {prefix}images is {images.dtype} {images.shape}; "
            "must be non-empty uint8 (N, H, W) or (N, H, W, C)"
        )
    labels = _whole(path, f"{prefix}labels", labels, len(images))
    if labels.min() < 0 or labels.max() > MOST_LABEL:
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"{path}: {prefix}labels has {bad}; class numbers are 0..{MOST_LABEL}")
    return Split(images if images.ndim == 4 else images[..., None], labels.astype(np.int32))


def _whole(path: Path, name: str, array: np.ndarray, length: int) -> np.ndarray:
    if array.dtype.kind not in "iu" or array.shape != (length,):
        raise DataError(
            f"{path}: {name} is {array.dtype} {array.shape}; must be integers ({length},), "
            "one for each image"
        )
    return array


def _groups(path: Path, arrays: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray | None:
    if "groups" in arrays:
        keys = _whole(path, "groups", arrays["groups"], len(labels))[:, None]
    elif "track" in arrays:
        track = _whole(path, "track", arrays["track"], len(labels))
        keys = np.stack([labels, np.unique(track, return_inverse=True)[1]], axis=1)
    else:
        return None
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def _names(path: Path, given: np.ndarray | None, present: np.ndarray) -> tuple[str, ...]:
    if given is None:
        return tuple(str(label) for label in present)
    if given.dtype.kind != "U" or given.ndim != 1 or len(given) <= present[-1]:
        raise DataError(
            f"{path}: class_names is {given.dtype} {given.shape}; must be {present[-1] + 1} "
            "strings or more, one for each label"
        )
    return tuple(given.tolist())


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            names: Iterable[str] = (n for n in _KNOWN if f"{n}.npy" in present)
            return {name: _array(archive, f"{name}.npy") for name in names}
    except Exception as error:  # damaged archives make zipfile and NumPy raise nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path}: not a readable .npz archive ({reason}): save it again with np.savez"
        ) from error


def _array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array. np.load would allocate what its header claims before it looks at the data."""
    info = archive.getinfo(member)
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{member} has format version {version}")
        first = version == (1, 0)
        header = (
            np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError(f"{member} holds Python objects, which are never loaded")
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size != info.file_size - stream.tell() or not 0 <= size <= MOST_BYTES:
            raise ValueError(f"{member} claims {dtype} {shape}, not the size of its data")
        data = np.frombuffer(stream.read(size), dtype)  # the checksum is verified at the end
        return data.reshape(shape, order="F" if fortran else "C")
