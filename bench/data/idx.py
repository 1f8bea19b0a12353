"""MNIST and Fashion-MNIST from their published idx files, gzipped or plain."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from bench import files
from bench.data import archives, pixels
from bench.data.dataset import Source, Split
from bench.errors import DataError, brief

IMAGES, LABELS = 2051, 2049  # the magic numbers
MOST_BYTES = 2**31  # MNIST's largest relative, EMNIST, has 0.6e9
_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_FOLDERS = {"mnist": ("mnist",), "fashion_mnist": ("fashion-mnist", "fashion_mnist")}
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_NAMES = {"mnist": tuple("0123456789"), "fashion_mnist": _FASHION}
_LICENCES = {
    "mnist": "no formal licence, often cited as CC BY-SA 3.0 (LeCun, Cortes and Burges, 1998)",
    "fashion_mnist": "MIT, (c) 2017 Zalando SE",
}


def places(name: str, data_dir: Path) -> list[Path]:
    """The folders in which the files of a set are looked for."""
    return [data_dir / folder for folder in _FOLDERS[name]] + [data_dir]


def find(name: str, data_dir: Path) -> Path | None:
    """The first of the places that holds any of the set's files."""
    for folder in places(name, data_dir):
        if any(_file(folder, part) for part in _PARTS):
            return folder
    return None


def load(name: str, folder: Path) -> Source:
    """Reads the four files of "mnist" or "fashion_mnist".

    Raises:
        DataError: a file is missing, damaged, or does not fit its sibling.
    """
    train, test = (_split(folder, side) for side in ("train", "t10k"))
    return Source(train.images, train.labels, _NAMES[name], _LICENCES[name], test=test)


def _split(folder: Path, side: str) -> Split:
    images_file, labels_file = (
        _required(folder, f"{side}-{kind}") for kind in ("images", "labels")
    )
    images, labels = read(images_file, IMAGES), read(labels_file, LABELS)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_file}: {len(labels)} labels for {len(images)} images: download both again"
        )
    if labels.max() > 9:
        raise DataError(f"{labels_file}: label {labels.max()} is over 9: download the file again")
    return Split(images[..., None], labels.astype(np.int32))


def _file(folder: Path, part: str) -> Path | None:
    dimensions = 3 if part.endswith("images") else 1
    for dash in "-.":
        for end in (".gz", ""):
            path = folder / f"{part}{dash}idx{dimensions}-ubyte{end}"
            if path.is_file():
                return path
    return None


def _required(folder: Path, part: str) -> Path:
    path = _file(folder, part)
    if path is None:
        raise DataError(f"{folder}: the file {part}-idx*-ubyte.gz is missing: add it to the others")
    return path


def read(path: Path, magic: int) -> np.ndarray:
    """An idx file: (N, H, W) uint8 for magic 2051, (N,) for 2049; gzip is told by its first bytes.

    Raises:
        DataError: not such a file, or its length is not what its header says.
    """
    try:
        with files.opened(path) as raw:
            length = files.length(raw)
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return _array(raw, path, magic, length)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _array(stream, path, magic, length * archives.MOST_RATIO)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({brief(error)}): download it again") from error


def _array(stream: files.Readable, path: Path, magic: int, most: int) -> np.ndarray:
    """The array, of a stream that holds `most` bytes at most: of more than that nothing is read."""
    dimensions = magic & 0xFF
    header = stream.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path}: ends inside its header: download it again")
    found, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if found != magic:
        raise DataError(f"{path}: magic number {found} instead of {magic}: not such an idx file")
    size = 1
    for length in shape:
        size *= length
    if not 0 < size <= MOST_BYTES:
        raise DataError(f"{path}: header claims {shape}, over {MOST_BYTES} bytes or none: damaged")
    if size > most:
        raise DataError(
            f"{path}: under {most} bytes where its header says {size}: download it again"
        )
    pixels.Room(path).take(size)
    body = files.at_most(stream, size + 1)
    if len(body) != size:
        more = "more" if len(body) > size else f"{len(body)}"
        raise DataError(f"{path}: {more} bytes where its header says {size}: download it again")
    return np.frombuffer(body, np.uint8).reshape(shape)
