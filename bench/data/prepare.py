"""From a `Source` and its options to a `Dataset`: classes, limit, pixels, splits, statistics."""

import hashlib
import math
import re

import numpy as np

from bench.data import pixels, split
from bench.data.dataset import DataOptions, Dataset, Preprocessing, Source, Split
from bench.errors import CONTROL, ConfigError, DataError, nearest

# One draw each; a part of their seeds, so that none repeats another's.
_LIMIT, _TEST, _VALID = range(3)
MOST_NAME = 255  # characters of a class's name, as many as a folder's may have


def prepare(name: str, source: Source, options: DataOptions) -> Dataset:
    """Applies the options to a loaded set.

    Raises:
        DataError: the set contradicts itself or is too small to be split.
        ConfigError: an option that this set cannot follow.
    """
    _check(name, source)
    images, labels, own = source.images, source.labels, np.zeros(len(source.labels), bool)
    if source.test is not None:
        images = np.concatenate([images, source.test.images])
        labels = np.concatenate([labels, source.test.labels])
        own = np.arange(len(labels)) >= len(own)
    labels, class_names = _relabelled(labels, source.class_names, options.classes)
    chosen = _limited(np.flatnonzero(labels >= 0), labels, own, options)
    labels, own = labels[chosen].astype(np.int32), own[chosen]
    size = (options.image_size,) * 2 if options.image_size else None
    images = pixels.convert(images[chosen], size, options.color)
    groups = _groups(name, source, options)
    held = _sides(labels, own, None if groups is None else groups[chosen], options)
    train, valid, test = (Split(images[side], labels[side]) for side in held)
    if not len(train) or not len(test) or (options.valid_fraction and not len(valid)):
        raise DataError(
            f"{name}: too few examples ({len(labels)}) for training, validation and test: "
            "add some, or change --config.data.test_fraction and valid_fraction"
        )
    return Dataset(
        name,
        *(train, valid, test),
        class_names=class_names,
        licence=source.licence,
        preprocessing=_preprocessing(train.images),
        fingerprint=_fingerprint((train, valid, test)),
    )


def _check(name: str, source: Source) -> None:
    """Raises DataError unless the arrays fit one another."""
    classes = len(source.class_names)
    if classes < 2:
        raise DataError(f"{name}: has {classes} class; telling apart takes at least 2")
    if len(set(source.class_names)) < classes:
        raise DataError(f"{name}: two classes have the same name: rename one")
    for wrong in (n for n in source.class_names if len(n) > MOST_NAME or CONTROL.search(n)):
        raise DataError(f"{name}: class {wrong[:40]!r} is too long or cannot be printed: rename it")
    for part in filter(None, (Split(source.images, source.labels), source.test)):
        if part.images.dtype != np.uint8 or part.images.ndim != 4 or not part.images.size:
            raise DataError(f"{name}: images must be non-empty uint8 (N, H, W, C)")
        if part.images.shape[1:] != source.images.shape[1:]:
            raise DataError(f"{name}: test images differ in shape from training images")
        if part.images.shape[3] not in (1, 3):
            raise DataError(f"{name}: {part.images.shape[3]} channels; must be 1 (gray) or 3 (RGB)")
        if part.labels.shape != part.images.shape[:1]:
            raise DataError(f"{name}: {len(part.images)} images but labels {part.labels.shape}")
        if part.labels.min() < 0 or part.labels.max() >= classes:
            raise DataError(f"{name}: a label is outside 0..{classes - 1}: mend the labels")


def _relabelled(
    labels: np.ndarray, names: tuple[str, ...], classes: tuple[str | int, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """New labels, -1 where the class is not wanted, and the names of the wanted classes."""
    if not classes:
        return labels, names
    old = [_label(wanted, names) for wanted in classes]
    if len(set(old)) < len(old):
        raise ConfigError(f"--config.data.classes={classes!r}: names one class twice")
    new = np.full(len(names), -1, np.int32)
    new[old] = np.arange(len(old))
    return new[labels], tuple(names[i] for i in old)


def _label(wanted: str | int, names: tuple[str, ...]) -> int:
    if str(wanted) in names:
        return names.index(str(wanted))
    numbers = all(re.fullmatch(r"\d+", n) for n in names)  # then a name *is* the original label
    if isinstance(wanted, int) and not numbers and 0 <= wanted < len(names):
        return wanted
    raise ConfigError(f"--config.data.classes: no class {wanted!r}: {nearest(wanted, names)}")


def _limited(
    chosen: np.ndarray, labels: np.ndarray, own: np.ndarray, options: DataOptions
) -> np.ndarray:
    if not 0 < options.limit < len(chosen):
        return chosen
    strata = labels[chosen] * 2 + own[chosen]
    try:
        seed = (options.split_seed, _LIMIT)
        return chosen[split.limited(strata, options.limit, seed)]
    except ValueError as error:
        raise ConfigError(f"--config.data.limit={options.limit}: {error}") from error


def _groups(name: str, source: Source, options: DataOptions) -> np.ndarray | None:
    if options.split != "group":
        return None
    if source.groups is None:
        raise ConfigError(f"--config.data.split=group: {name} has no groups; use auto or random")
    if source.test is not None:
        raise ConfigError(f"--config.data.split=group: {name} has its own test split; use auto")
    return source.groups


def _sides(
    labels: np.ndarray, own: np.ndarray, groups: np.ndarray | None, options: DataOptions
) -> list[np.ndarray]:
    """Indices of training, validation and test examples, each in the set's own order."""

    def held(among: np.ndarray, fraction: float, purpose: int) -> np.ndarray:
        seed = (options.split_seed, purpose)
        if groups is None:
            return split.stratified(labels[among], fraction, seed)
        return split.grouped(labels[among], groups[among], fraction, seed)

    everything = np.arange(len(labels))
    use_own = options.split == "auto" and own.any()
    test = own if use_own else held(everything, options.test_fraction, _TEST)
    rest = everything[~test]
    valid = held(rest, options.valid_fraction, _VALID)
    return [rest[~valid], rest[valid], everything[test]]


def _preprocessing(images: np.ndarray) -> Preprocessing:
    """Shape and statistics of training images (N, H, W, C), exact: sums of whole numbers."""
    _, height, width, channels = images.shape
    counts = np.zeros((channels, 256), np.int64)
    for part in np.array_split(images, len(images) * height * width // 2**22 + 1):
        for c in range(channels):
            counts[c] += np.bincount(part[..., c].ravel(), minlength=256)
    moments = [_moments(count.tolist()) for count in counts]
    mean, std = zip(*moments, strict=True)
    return Preprocessing(height, width, channels, mean, std)


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and std, / 255, of pixels of which counts[v] have the value v."""
    n = sum(counts)
    first = sum(v * count for v, count in enumerate(counts))
    second = sum(v * v * count for v, count in enumerate(counts))
    return first / n / 255, max(1.0, math.sqrt(n * second - first**2) / n) / 255


def _fingerprint(parts: tuple[Split, ...]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part.images.shape).encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels, "<i4").data)
    return digest.hexdigest()[:16]
