"""Image-classification data as uint8 arrays: `load(name, options)` gives a `Dataset`."""

from pathlib import Path

from bench.data import digits, folder, gtsrb, idx, npz, tfds
from bench.data.dataset import DataOptions, Dataset, Preprocessing, Source, Split
from bench.data.prepare import prepare
from bench.errors import DataError, nearest

__all__ = ["DataOptions", "Dataset", "Preprocessing", "Source", "Split", "load"]

_PLAIN = ("digits", "mnist", "fashion_mnist", "gtsrb", "gtsrb3")
_PREFIXES = ("npz:", "folder:", "tfds:")
_DEFAULT = DataOptions()


def load(name: str, options: DataOptions = _DEFAULT, data_dir: str | Path | None = None) -> Dataset:
    """Loads a data set and applies the options to it.

    Args:
        name: "digits", "mnist", "fashion_mnist", "gtsrb", "gtsrb3", "npz:PATH", "folder:PATH" (or an
            archive of it), "tfds:NAME", or a name that TFDS knows. A PATH that is not found as given (~ is
            the home folder) is looked for under data_dir.
        options: what to make of it.
        data_dir: where data sets lie; None is the working directory, and TFDS's own folder.

    Raises:
        DataError: the set is unknown, missing, damaged or too small.
        ConfigError: an option that this set cannot follow.
    """
    place = None if data_dir is None else _home(Path(data_dir))
    return prepare(name, _source(name, options, place), options)


def _source(name: str, options: DataOptions, data_dir: Path | None) -> Source:
    kind, _, path = name.partition(":")
    if name == "digits":
        return digits.load()
    if name in ("mnist", "fashion_mnist"):
        return _idx(name, options, data_dir)
    if name == "gtsrb":
        return gtsrb.load(data_dir or Path())
    if name == "gtsrb3":
        return gtsrb.load_three(data_dir or Path(), options.image_size, options.color)
    if kind == "npz" and path:
        return npz.load(_found(path, data_dir))
    if kind == "folder" and path:
        return folder.load(_found(path, data_dir), options.image_size, options.color)
    wanted = path if kind == "tfds" else name
    source = tfds.load(wanted, data_dir, options.image_size, options.color)
    if source is None:
        known = tfds.names() if kind == "tfds" else [*_PLAIN, *_PREFIXES, *tfds.names()]
        raise DataError(f"unknown dataset {name!r}: {_hint(wanted, known)}")
    return source


def _hint(name: str, known: list[str]) -> str:
    """The nearest name; not all of TFDS's hundreds where none is near."""
    hint = nearest(name, known)
    short = [*_PLAIN, "npz:PATH", "folder:PATH", "tfds:NAME"]
    return hint if hint.startswith("did") else "known: " + ", ".join(short)


def _idx(name: str, options: DataOptions, data_dir: Path | None) -> Source:
    place = data_dir or Path()
    if (at := idx.find(name, place)) is not None:
        return idx.load(name, at)
    try:
        source = tfds.load(name, data_dir, options.image_size, options.color)
    except DataError as error:
        looked = ", ".join(str(p) for p in idx.places(name, place))
        raise DataError(
            f"no idx files of {name} in {looked}: put the four there; or, for TFDS: {error}"
        ) from error
    if source is None:  # pragma: no cover  # TFDS has both
        raise DataError(f"TFDS has no {name}: install another version of it")
    return source


def _home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise DataError(f"{path}: {error}: write the folder out") from error


def _found(path: str, data_dir: Path | None) -> Path:
    places = [_home(Path(path))]
    if data_dir is not None:
        places.append(data_dir / path)
    for place in places:
        if place.exists():
            return place
    raise DataError(f"nothing at {' or '.join(str(p) for p in places)}: correct the path")
