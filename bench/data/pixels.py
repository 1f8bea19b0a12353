"""Pictures as uint8 arrays: opening, gray or colour, resizing, room for them. The one place that does it.

Letters: N pictures of H×W pixels and C channels (1 gray, 3 RGB).
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench import files, host
from bench.errors import ConfigError, DataError, brief

# Pillow reads dozens more: those few people have are also those that few have tested on damaged files,
# and EPS it would hand to Ghostscript, which runs programs.
FORMATS = ("PNG", "JPEG", "PPM", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF")
MOST_BYTES = 2**28  # of one file
MOST_SIDE = 65_535  # pixels; no JPEG has a longer one. Some decoders take seconds for thin, endless pictures
MOST_PIXELS = 64_000_000  # a photograph has fewer; a decompression bomb has more
MOST_SCANS = (
    100  # of a progressive JPEG, which has about 10; each goes over all pixels, in a few bytes
)
_GRAY_MODES = ("1", "L")
_CHANNELS = {"gray": 1, "rgb": 3}


class Room:
    """Memory for a data set: half of what there is, for preparing it makes a copy.

    Args:
        label: what to call the data set in an error.
    """

    def __init__(self, label: object):
        self._label = label
        self._all = self._left = host.memory_bytes() // 2

    def take(self, size: int) -> None:
        """Counts on `size` bytes more. Raises DataError where there are not so many."""
        self._left -= size
        if self._left < 0:
            raise DataError(
                f"{self._label}: takes over {self._all} bytes, half of this machine's memory: "
                "use fewer images, or smaller ones"
            )


def picture(file: str | Path | BinaryIO, size: tuple[int, int] | None, color: str) -> np.ndarray:
    """Opens a picture with Pillow and makes an array of it; of several frames the first.

    Args:
        file: a path, or a binary file open for reading.
        size: (H, W) to resize to, or None to leave as is.
        color: "gray", "rgb", or "keep": gray where the file is gray, else RGB.

    Returns:
        (H, W, C) uint8.

    Raises:
        DataError: the file cannot be read as a picture, or is a decompression bomb.
    """
    label = file if isinstance(file, str | Path) else getattr(file, "name", "the picture")
    try:
        content = _content(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is refused here, or of mere tags
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _refuse(image)
                return _array(_resized(_converted(image, color), size))
    except UnidentifiedImageError as error:
        raise DataError(
            f"{label}: not a readable picture ({', '.join(FORMATS)}): replace or remove it"
        ) from error
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise DataError(
            f"{label}: not a readable picture ({brief(error)}): replace or remove it"
        ) from error


def convert(images: np.ndarray, size: tuple[int, int] | None, color: str) -> np.ndarray:
    """(N, H, W, C) uint8 made gray or RGB and resized, as `picture` does it.

    Raises:
        ConfigError: the result does not fit into memory.
    """
    _, *old, channels = images.shape
    same_color = _CHANNELS.get(color, channels) == channels
    if same_color and size in (None, tuple(old)):
        return images
    modes: dict[int, slice | int] = {1: 0, 3: slice(None)}
    try:
        return np.stack(
            [
                _array(_resized(_converted(Image.fromarray(i[..., modes[channels]]), color), size))
                for i in images
            ]
        )
    except MemoryError:
        raise ConfigError(
            f"{len(images)} images of {size} do not fit into memory: lower --config.data.image_size"
        ) from None


def stack(label: object, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, C) as one array (N, H, W, C); the gray ones become RGB if any is RGB.

    Args:
        label: what to call them in an error.
        pictures: N of them.

    Raises:
        DataError: the pictures differ in size.
    """
    sizes = sorted({p.shape[:2] for p in pictures})
    if len(sizes) > 1:
        raise DataError(
            f"{label}: images differ in size ({sizes[0]} to {sizes[-1]} pixels): "
            "set a common one, such as --config.data.image_size=32"
        )
    channels = max(p.shape[2] for p in pictures)
    return np.stack([np.broadcast_to(p, (*p.shape[:2], channels)) for p in pictures])


def _content(file: str | Path | BinaryIO) -> bytes:
    """A file's bytes. Raises ValueError where they make a JPEG that takes hours."""
    content = files.content(Path(file), MOST_BYTES) if isinstance(file, str | Path) else file.read()
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MOST_SCANS:
        raise ValueError(f"over {MOST_SCANS} scans")
    return content


def _refuse(image: Image.Image) -> None:
    if max(image.size) > MOST_SIDE:
        raise ValueError(f"{image.width}x{image.height} pixels: a side over {MOST_SIDE}")
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are over {MOST_PIXELS}")
    if image.mode == "F":
        raise ValueError("float pixels have no fixed range")


def _converted(image: Image.Image, color: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip them
        high = np.clip(np.asarray(image) >> 8, 0, 255)
        image = Image.fromarray(high.astype(np.uint8))
    gray = color == "gray" or (color == "keep" and image.mode in _GRAY_MODES)
    return image.convert("L" if gray else "RGB")


def _resized(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    if size is None or size == (image.height, image.width):
        return image
    return image.resize(size[::-1], Image.Resampling.BILINEAR)


def _array(image: Image.Image) -> np.ndarray:
    array = np.array(image, np.uint8)
    return array if array.ndim == 3 else array[..., None]
