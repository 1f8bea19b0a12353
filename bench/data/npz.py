"""A data set in one NumPy archive: arrays `images` and `labels`, and some that may be added."""

from pathlib import Path

import numpy as np

from bench.data import arrays
from bench.data.dataset import Source, Split
from bench.errors import DataError, brief

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
    found = _arrays(path)
    for name in _REQUIRED:
        if name not in found:
            raise DataError(f"{path}: no array {name!r}: save it with np.savez(images=, labels=)")
    if ("test_images" in found) != ("test_labels" in found):
        raise DataError(f"{path}: test_images and test_labels go together: add the other one")
    train = _split(path, found, "")
    test = _split(path, found, "test_") if "test_images" in found else None
    groups = _groups(path, found, train.labels)
    present = np.unique(np.concatenate([s.labels for s in (train, test) if s is not None]))
    names = _names(path, found.get("class_names"), present)
    if "class_names" not in found:
        train = Split(train.images, np.searchsorted(present, train.labels).astype(np.int32))
        if test is not None:
            test = Split(test.images, np.searchsorted(present, test.labels).astype(np.int32))
    return Source(train.images, train.labels, names, "unknown", groups, test)


def _split(path: Path, found: dict[str, np.ndarray], prefix: str) -> Split:
    images, labels = found[f"{prefix}images"], found[f"{prefix}labels"]
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


def _groups(path: Path, found: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray | None:
    if "groups" in found:
        keys = _whole(path, "groups", found["groups"], len(labels))[:, None]
    elif "track" in found:
        track = _whole(path, "track", found["track"], len(labels))
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
    try:
        return tuple(given.tolist())
    except (ValueError, SystemError) as error:  # numbers that are no characters
        raise DataError(
            f"{path}: class_names is no text ({brief(error)}): save it again"
        ) from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return arrays.read(path, _KNOWN.__contains__)
    except DataError:
        raise
    except Exception as error:  # damaged archives make zipfile and NumPy raise nearly anything
        raise DataError(
            f"{path}: not a readable .npz archive ({brief(error)}): save it again with np.savez"
        ) from error
