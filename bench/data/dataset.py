"""What a data set is, before its options (`Source`) and after them (`Dataset`).

Letters, here and in the rest of the package: N examples, H×W pixels, C channels.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench.data import pixels
from bench.errors import ConfigError, DataError, brief

TRAIN_SUBSET = 512  # training examples in the dropout-free pass of an evaluation
COLORS = ("keep", "gray", "rgb")
SPLITS = ("auto", "random", "group")


@dataclass(frozen=True)
class Split:
    """images: (N, H, W, C) uint8 in 0..255; labels: (N,) int32 in 0..classes-1."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Source:
    """What a loader returns, before any option is applied.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) int32.
        class_names: the name of label 0, 1, …
        licence: under which terms the images may be used, "unknown" where nothing says so.
        groups: (N,) int or None; examples of one group (one physical traffic sign, say) show the
            same thing and must not be on two sides of a split.
        test: the set's own test split, if it has one.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    licence: str
    groups: np.ndarray | None = None
    test: Split | None = None


@dataclass(frozen=True)
class Preprocessing:
    """What was done to the images, so that it can be done to a new one.

    Attributes:
        height: H, pixels.
        width: W, pixels.
        channels: C, 1 (gray) or 3 (RGB).
        mean: per channel, of the training pixels / 255.
        std: the same, never below one gray level, 1/255.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def picture(self, path_or_file: str | Path | BinaryIO) -> np.ndarray:
        """A picture file as (H, W, C) uint8. Raises DataError where it cannot be read."""
        color = "gray" if self.channels == 1 else "rgb"
        return pixels.picture(path_or_file, (self.height, self.width), color)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain numbers and lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Preprocessing":
        """The inverse of `to_json`. Raises DataError where the record is not one of its."""
        try:
            height, width, channels = (int(record[k]) for k in ("height", "width", "channels"))
            mean, std = (tuple(float(v) for v in record[k]) for k in ("mean", "std"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"not a preprocessing record, {brief(error)}: train again") from error
        if min(height, width) < 1 or height * width > pixels.MOST_PIXELS or channels not in (1, 3):
            raise DataError(f"preprocessing to {height}x{width}x{channels}: train again")
        if not all(map(math.isfinite, mean)) or not all(0 < s < math.inf for s in std):
            raise DataError("preprocessing by impossible statistics: train again")
        if len(mean) != channels or len(std) != channels:
            raise DataError(f"preprocessing of {channels} channels by {len(mean)}: train again")
        return cls(height, width, channels, mean, std)


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on.

    Attributes:
        valid: held from training to choose by; empty if --config.data.valid_fraction is 0.
        fingerprint: 16 hex digits of the SHA-256 of all images and labels.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    class_names: tuple[str, ...]
    licence: str
    preprocessing: Preprocessing
    fingerprint: str

    @property
    def evaluated(self) -> int:
        """How many examples an evaluation sees: of training a part, of the others all."""
        return min(TRAIN_SUBSET, len(self.train)) + len(self.valid) + len(self.test)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)


@dataclass(frozen=True)
class DataOptions:
    """How to make a `Dataset` of a `Source`: `config.data`.

    Attributes:
        image_size: H and W in pixels; 0 leaves the images as they are.
        color: "keep", "gray" or "rgb".
        classes: a subset, by name or original label, relabelled 0, 1, … in this order; () is all.
        limit: the most examples of training and test data together, stratified; 0 is all.
        split: "auto" (the set's own test split where it has one, else as random), "random"
            (stratified, over all data), "group" (whole groups, over all data).
        test_fraction: of all data, where the test split is drawn.
        valid_fraction: of what is not test; 0 makes no validation split.
        split_seed: of the draws of limit, test and validation split.

    Raises:
        ConfigError: a value that cannot be used.
    """

    image_size: int = 0
    color: str = "keep"
    classes: tuple[str | int, ...] = ()
    limit: int = 0
    split: str = "auto"
    test_fraction: float = 0.2
    valid_fraction: float = 0.15
    split_seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.classes, list):
            object.__setattr__(self, "classes", tuple(self.classes))
        self._check("image_size", _whole(self.image_size, 4096), "0 (as is) or 1..4096 pixels")
        self._check("color", self.color in COLORS, "one of " + ", ".join(COLORS))
        self._check("classes", _classes(self.classes), "at least two different names or labels")
        self._check("limit", _whole(self.limit), "0 (all) or a number of examples")
        self._check("split", self.split in SPLITS, "one of " + ", ".join(SPLITS))
        self._check(
            "test_fraction",
            _fraction(self.test_fraction) and self.test_fraction > 0,
            "over 0 and below 1",
        )
        self._check("valid_fraction", _fraction(self.valid_fraction), "0 to below 1")
        self._check("split_seed", _whole(self.split_seed), "a whole number from 0")

    def _check(self, key: str, good: bool, allowed: str) -> None:
        if not good:
            raise ConfigError(f"--config.data.{key}={getattr(self, key)!r}: must be {allowed}")


def _whole(value: object, most: int = 2**63) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _classes(value: object) -> bool:
    if not isinstance(value, tuple) or not all(isinstance(v, str | int) for v in value):
        return False
    return value == () or (len(value) > 1 and len({str(v) for v in value}) == len(value))
