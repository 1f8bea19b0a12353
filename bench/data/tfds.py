"""Sets that TensorFlow Datasets has prepared, read without TensorFlow.

Preparing one needs TensorFlow and the network, once; so we read, and say how to prepare.
"""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import pixels
from bench.data.dataset import Source, Split
from bench.errors import DataError, brief

_NAME = re.compile(r"[A-Za-z_]\w*(/[\w.\-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
_AT_ONCE = 1000  # records; one by one they take five times as long to read


def names() -> list[str]:
    """The names TFDS knows, [] where it is not installed."""
    try:
        return _tfds().list_builders(with_community_datasets=False)
    except DataError:
        return []


def load(name: str, data_dir: Path | None, image_size: int, color: str) -> Source | None:
    """Reads a prepared image-classification set: features `image` and `label`.

    Args:
        name: as TFDS spells it, a config or version included: "emnist/letters".
        data_dir: where to look first; TFDS's own folder is looked in too.
        image_size: H and W to resize to, or 0.
        color: "keep", "gray" or "rgb".

    Returns:
        The set, its test (or else validation) split as its own; None if TFDS has no such name.

    Raises:
        DataError: TFDS is missing, the set is not prepared in a format that can be read without
            TensorFlow, or is not of this kind.
    """
    if not _NAME.fullmatch(name):
        return None
    tfds = _tfds()
    found = [_builder(tfds, name, str(data_dir))] if data_dir else []
    found = [b for b in [*found, _builder(tfds, name, None)] if b is not None]
    if not found:
        return None
    # b.is_prepared() asks for the same file, but complains of its absence on stderr
    ready = [b for b in found if Path(b.data_path, "dataset_info.json").is_file()]
    if not ready:
        raise DataError(f"{name} is not prepared: run `{_command(name, data_dir)}`, once")
    try:
        return _source(tfds, name, ready[0], image_size, color)
    except NotImplementedError as error:
        raise DataError(
            f"{name} is prepared as {ready[0].info.file_format.value}, which takes TensorFlow to "
            f"read: remove {ready[0].data_path} and run `{_command(name, data_dir)}`"
        ) from error
    except DataError:
        raise
    except Exception as error:  # damaged records make the readers raise nearly anything
        raise DataError(
            f"{ready[0].data_path}: cannot be read ({brief(error)}): prepare it again"
        ) from error


def _tfds() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its own dependencies
            import tensorflow_datasets
    except ImportError as error:
        raise DataError(
            "TFDS is missing: run `pip install tensorflow-datasets importlib_resources`"
        ) from error
    return tensorflow_datasets


def _builder(tfds: Any, name: str, data_dir: str | None) -> Any:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        return None
    except Exception as error:  # some builders import what is not installed
        raise DataError(
            f"TFDS cannot make {name!r} ({brief(error)}): install what it lacks"
        ) from error


def _command(name: str, data_dir: Path | None) -> str:
    # Not `tfds build`, which in 4.9.10 does not start without Apache Beam.
    place = f", data_dir={str(data_dir)!r}" if data_dir else ""
    prepare = f"t.builder({name!r}, file_format='array_record'{place}).download_and_prepare()"
    return (
        "pip install tensorflow-cpu importlib_resources && "
        f'python -c "import tensorflow_datasets as t; {prepare}"'
    )


def _source(tfds: Any, name: str, builder: Any, image_size: int, color: str) -> Source:
    info = builder.info
    known = isinstance(info.features, tfds.features.FeaturesDict)
    features = dict(info.features.items()) if known else {}
    if not isinstance(features.get("image"), tfds.features.Image) or not isinstance(
        features.get("label"), tfds.features.ClassLabel
    ):
        raise DataError(f"{name} is no image classification set: it needs features image and label")
    if "train" not in info.splits:
        raise DataError(f"{name} has no split train, only {', '.join(info.splits)}: use another")
    train, *tests = (
        _split(tfds, builder, split, image_size, color)
        for split in ("train", *[s for s in ("test", "validation") if s in info.splits][:1])
    )
    licence = info.redistribution_info.license or (
        f"see https://www.tensorflow.org/datasets/catalog/{re.split('[/:]', name)[0]}"
    )
    class_names = tuple(features["label"].names)
    return Source(train.images, train.labels, class_names, licence, None, *tests)


def _split(tfds: Any, builder: Any, split: str, image_size: int, color: str) -> Split:
    """All examples of a split, in the order of its files."""
    # Our own decoding, so that a picture from here is what `Preprocessing.picture` makes of it.
    encoded = {"image": tfds.decode.SkipDecoding()}
    size = (image_size,) * 2 if image_size else None
    records = builder.as_data_source(split, decoders=encoded)
    room = pixels.Room(builder.name)
    images, labels = [], []
    for start in range(0, len(records), _AT_ONCE):
        for example in records.__getitems__(range(start, min(start + _AT_ONCE, len(records)))):
            images.append(pixels.picture(io.BytesIO(example["image"]), size, color))
            room.take(images[-1].nbytes)
            labels.append(int(example["label"]))
    return Split(pixels.stack(builder.name, images), np.array(labels, np.int32))
