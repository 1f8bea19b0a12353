"""Pictures that were made to do harm: each is refused, before it takes much time or memory."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import host
from bench.data import folder, idx, npz, pixels
from bench.errors import DataError
from tests.untrusted import MIB, at_most, refused, tree_of


def test_pictures_that_do_not_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be large, but not all of them."""
    root = tree_of(tmp_path / "in")
    images, labels = np.zeros((12, 4, 4), np.uint8), np.arange(12) % 3
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    (tmp_path / "labels").write_bytes(struct.pack(">2I", idx.LABELS, 1000) + bytes(1000))
    monkeypatch.setattr(host, "memory_bytes", lambda: 2 * 4 * 6 * 5 * 3)
    assert len(folder.load(root, 0, "keep").labels) == 4
    for size in (7, 100):
        with pytest.raises(DataError, match="half of this machine's memory"):
            folder.load(root, size, "keep")
    assert "half of this" in refused(lambda: npz.load(tmp_path / "a.npz"), tmp_path)
    assert "half of this" in refused(lambda: idx.read(tmp_path / "labels", idx.LABELS), tmp_path)


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PCX", "SGI", "ICO", "DDS", "PDF", "XBM"])
def test_formats_that_are_not_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "picture"
    image = Image.new("1" if kind == "XBM" else "RGB", (16, 16))
    image.save(file, kind)
    message = refused(lambda: pixels.picture(file, None, "keep"), file)
    assert "not a readable picture (PNG, JPEG, PPM" in message


def png(width: int, height: int, body: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size", [(8001, 8000), (65_536, 1), (1, 8_000_000), (2**31 - 1, 1), (60_000, 60_000)]
)
def test_pictures_of_absurd_size(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png(*size, zlib.compress(bytes(1000))))
    with at_most(2 * MIB):
        refused(lambda: pixels.picture(file, None, "keep"), file)


def test_a_jpeg_that_goes_over_its_pixels_without_end(tmp_path: Path) -> None:
    """75 bytes a scan: of 49 million pixels, each would take 60 ms."""
    file = io.BytesIO()
    Image.new("L", (20, 20), 9).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    scan = content[content.rindex(b"\xff\xda") : -2]
    for more, good in ((10, True), (200, False)):
        (tmp_path / "a.jpg").write_bytes(content[:-2] + scan * more + content[-2:])
        if good:
            assert pixels.picture(tmp_path / "a.jpg", None, "keep").shape == (20, 20, 1)
        else:
            message = refused(lambda: pixels.picture(tmp_path / "a.jpg", None, "keep"), tmp_path)
            assert "over 100 scans" in message


def test_of_several_frames_the_first(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 3), value) for value in (10, 200, 100)]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        file = tmp_path / kind
        more = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], **more)
        assert set(pixels.picture(file, None, "gray").ravel().tolist()) == {10}
