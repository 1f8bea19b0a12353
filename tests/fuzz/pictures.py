"""Valid pictures of every format that is read, in many of its modes; and what damages them."""

import io
import struct
import zlib
from functools import cache
from random import Random
from typing import Any

from PIL import Image

from tests.fuzz.mutate import damaged

_EXIF, _ICC = b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"junk" * 30
_ALL = {"save_all": True}  # of several frames
# Format → (mode, how to save it).
_KINDS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "PNG": (
        ("1", {}), ("L", {"transparency": 3}), ("P", {"transparency": b"\0\1\2"}),
        ("RGB", {"exif": _EXIF}), ("RGBA", {"icc_profile": _ICC}), ("LA", {}), ("I;16", {}), ("RGB", _ALL),
    ),
    "JPEG": (
        ("L", {}), ("RGB", {"exif": _EXIF}), ("CMYK", {}),
        ("RGB", {"progressive": True, "icc_profile": _ICC}), ("RGB", {"subsampling": 2, "comment": "x"}),
    ),
    "PPM": (("1", {}), ("L", {}), ("RGB", {}), ("I;16", {}), ("F", {})),
    "GIF": (
        ("L", {}), ("P", {"transparency": 1}), ("RGB", {"interlace": True}), ("P", {**_ALL, "comment": b"x"}),
    ),
    "BMP": (("1", {}), ("L", {}), ("P", {}), ("RGB", {}), ("RGBA", {})),
    "TIFF": (
        ("1", {"compression": "group4"}), ("L", {}), ("RGB", {"compression": "tiff_lzw"}), ("I;16", {}),
        ("F", {}), ("CMYK", {"compression": "tiff_adobe_deflate"}), ("RGB", {"compression": "jpeg"}),
        ("LAB", {}),
        ("P", {**_ALL, "compression": "packbits"}),
    ),
    "WEBP": (("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {**_ALL, "exif": _EXIF})),
    "JPEG2000": (("L", {}), ("RGB", {"irreversible": True}), ("RGBA", {"no_jp2": True})),
    "AVIF": (("RGB", {"speed": 10}),),
}  # fmt: skip
FORMATS = tuple(_KINDS)


@cache
def valid(kind: str) -> tuple[bytes, ...]:
    """Some valid pictures of a format."""
    found = []
    for number, (mode, how) in enumerate(_KINDS[kind]):
        image = _image(mode, number)
        more = {"append_images": [_image(mode, number + 1)]} if "save_all" in how else {}
        file = io.BytesIO()
        image.save(file, kind, **how, **more)
        found.append(file.getvalue())
    if kind == "PPM":
        found += [
            b"P3 # x\n2 2 255\n" + b"1 2 3 " * 4,
            b"P1 3 1\n1 0 1",
            b"P5 2 2 65535\n" + bytes(8),
        ]
    return tuple(found)


def _image(mode: str, seed: int) -> Image.Image:
    noise = Random(seed).randbytes(9 * 7 * 3)
    image = Image.frombytes("LAB" if mode == "LAB" else "RGB", (9, 7), noise)
    if mode in ("I;16", "F"):  # Pillow makes these of gray only
        image = image.convert("L")
    return image.convert(mode)


def draw(random: Random, kind: str) -> bytes:
    """A damaged picture of a format; or of two formats, one inside the other."""
    content = random.choice(valid(kind))
    if kind == "PNG" and random.random() < 0.6:
        return _png(random, content)
    other = random.choice(valid(random.choice(FORMATS)))
    return damaged(random, content, other)


def _png(random: Random, content: bytes) -> bytes:
    """Damage that checksums and zlib do not find: under them."""
    chunks, place = [], 8
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    number = random.randrange(len(chunks))
    name, body = chunks[number]
    if name == b"IDAT" and random.random() < 0.7:
        body = zlib.compress(damaged(random, zlib.decompress(body)))
    else:
        body = damaged(random, body)
    chunks[number] = (name, body)
    if random.random() < 0.2:
        chunks.insert(random.randrange(len(chunks) + 1), random.choice(chunks))
    return content[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
