"""A folder, or an archive of one, with a sub-folder of pictures for each class."""

import io
import re
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import numpy as np

from bench.data import pixels, tree
from bench.data.dataset import Source
from bench.errors import DataError

_STRAY_NAMES = {"thumbs.db", "desktop.ini", "license", "licence", "copying", "notice", "readme"}
_STRAY_SUFFIXES = {".md", ".txt", ".csv", ".json", ".rst", ".html"}
_TRACK = re.compile(r"(\d+)_\d+\.\w+", re.ASCII)  # GTSRB: <track>_<frame>.ppm
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def load(path: Path, image_size: int, color: str) -> Source:
    """Reads `<class>/<any name>`, of any format of `pixels.FORMATS`; one folder around all is skipped.

    Classes are sorted by number where all names are numbers, else by name. If every file is named
    `<track>_<frame>`, the images of one class and track are a group.

    Args:
        path: the folder, or a .tar.gz, .tgz, .tar or .zip archive of it.
        image_size: H and W to resize to with Pillow's BILINEAR, or 0.
        color: "keep" (RGB unless every image is gray), "gray" or "rgb".

    Raises:
        DataError: a picture that cannot be read, sizes that differ while image_size is 0, an
            empty class, fewer than two, or a tree of another depth.
    """
    pictures, folders = _read(path, (image_size,) * 2 if image_size else None, color)
    classes = _classes(path, set(pictures), folders)
    label_of = {name: label for label, name in enumerate(classes)}
    names = sorted(pictures, key=lambda name: (label_of[name.parent.name], name.name))
    labels = np.array([label_of[name.parent.name] for name in names], np.int32)
    images = pixels.stack(path, [pictures[name] for name in names])
    return Source(images, labels, classes, "unknown", _groups(names))


def _read(
    path: Path, size: tuple[int, int] | None, color: str
) -> tuple[dict[PurePosixPath, np.ndarray], set[PurePosixPath]]:
    """The pictures by their path in the tree, and all folders."""
    room = pixels.Room(path)
    pictures: dict[PurePosixPath, np.ndarray] = {}
    folders: set[PurePosixPath] = set()
    for name, content in tree.entries(path):
        if content is None:
            folders.add(name)
        elif name in pictures:
            raise DataError(f"{path}: holds {name} twice: remove one")
        elif not _stray(name):
            file = io.BytesIO(content)
            file.name = str(path / name)  # for the error
            pictures[name] = pixels.picture(cast(BinaryIO, file), size, color)
            room.take(pictures[name].nbytes)
    return pictures, folders


def _stray(name: PurePosixPath) -> bool:
    return name.name.lower() in _STRAY_NAMES or name.suffix.lower() in _STRAY_SUFFIXES


def _classes(
    path: Path, pictures: set[PurePosixPath], folders: set[PurePosixPath]
) -> tuple[str, ...]:
    """The class names in order."""
    tops = {name.parent.parent for name in pictures}
    if len(tops) != 1 or any(len(name.parts) not in (2, 3) for name in pictures):
        raise DataError(
            f"{path}: pictures must lie in one sub-folder for each class, none elsewhere"
        )
    (top,) = tops
    classes = {name.parent for name in pictures}
    empty = {f for f in folders if f.parent == top and f != top} - classes
    if empty:
        raise DataError(f"{path}: folder {min(empty)} has no pictures: fill or remove it")
    if len(classes) < 2:
        raise DataError(f"{path}: one class only ({min(classes).name}); at least 2 are needed")
    names = [c.name for c in classes]
    if all(_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _groups(names: list[PurePosixPath]) -> np.ndarray | None:
    tracks = [_TRACK.fullmatch(name.name) for name in names]
    if not all(tracks):
        return None
    keys = [(n.parent.name, t[1]) for n, t in zip(names, tracks, strict=True) if t]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys])
