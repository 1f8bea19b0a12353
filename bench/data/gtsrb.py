"""GTSRB's traffic signs by name: all 43 classes, or three of them in their original sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data import folder, npz
from bench.data.dataset import Source
from bench.errors import DataError

CLASSES = 43
THREE = ("0", "14", "19")  # speed limit 20, stop, dangerous curve to the left: 840 pictures
SIDE = 32  # pixels to which originals are resized where there is no archive of resized ones
LICENCE = "free for research (Stallkamp, Schlipsing, Salmen and Igel, Neural Networks 32, 2012)"
URL = "https://cdn.cs50.net/ai/2020/x/projects/5/gtsrb.zip"

_ADVICE = f"put {URL} there as it is (--data_dir is the folder that holds gtsrb/)"
_RESIZED = "gtsrb-32x32.npz"
# One folder a class, each of <track>_<frame>.ppm.
_PICTURES = ("gtsrb", "gtsrb.zip", "gtsrb.tar.gz")
_THREE_PICTURES = ("gtsrb-3class-ppm.tar.gz", *_PICTURES)


def load(data_dir: Path) -> Source:
    """All 43 classes, 32×32 RGB; a physical sign, which is a class and a track, is a group of 30.

    From `gtsrb/gtsrb-32x32.npz`, or else from the pictures in `gtsrb/gtsrb/` or `gtsrb/gtsrb.zip`, which
    gives the same. Classes are named by their numbers.

    Raises:
        DataError: neither is there, or damaged, or of other classes.
    """
    names = (_RESIZED, *_PICTURES)
    place = _found(data_dir, names)
    source = npz.load(place) if place.name == _RESIZED else folder.load(place, SIDE, "keep")
    if source.class_names != tuple(map(str, range(CLASSES))):
        raise DataError(
            f"{place}: has {len(source.class_names)} classes, not the {CLASSES} of GTSRB: {_ADVICE}"
        )
    return replace(source, licence=LICENCE)


def load_three(data_dir: Path, image_size: int, color: str) -> Source:
    """Classes 0, 14 and 19 from pictures in their own sizes, 25 to 243 pixels wide.

    From `gtsrb/gtsrb-3class-ppm.tar.gz`, or from the pictures of all classes.

    Args:
        data_dir: the folder that holds `gtsrb/`.
        image_size: H and W, in pixels.
        color: "keep" (RGB), "gray" or "rgb".

    Raises:
        DataError: it is not there, or damaged, or lacks a class.
    """
    place = _found(data_dir, _THREE_PICTURES)
    source = folder.load(place, image_size, color)
    if not set(THREE) <= set(source.class_names):
        raise DataError(f"{place}: lacks a class of {', '.join(THREE)}: {_ADVICE}")
    return replace(_only(source, THREE), licence=LICENCE)


def _only(source: Source, classes: tuple[str, ...]) -> Source:
    """The examples of some classes, renumbered in this order."""
    old = np.array([source.class_names.index(name) for name in classes])
    kept = np.isin(source.labels, old)
    labels = np.searchsorted(old, source.labels[kept]).astype(np.int32)
    groups = None if source.groups is None else source.groups[kept]
    return Source(source.images[kept], labels, classes, source.licence, groups)


def _found(data_dir: Path, names: tuple[str, ...]) -> Path:
    """The first of these in `gtsrb/`."""
    here = data_dir / "gtsrb"
    for name in names:
        if (here / name).exists():
            return here / name
    raise DataError(f"no {' or '.join(names)} in {here}: {_ADVICE}")
