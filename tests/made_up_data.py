"""A folder laid out as the real data sets are, of pictures that are noise: `write(root)`."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

FRAMES = 3  # of each track; the real ones have 30


def write(root: Path, examples: int = 100) -> Path:
    """mnist/, fashion-mnist/ and gtsrb/ below `root`, with `examples` a class of the first two."""
    rng = np.random.default_rng(0)
    for name in ("mnist", "fashion-mnist"):
        (root / name).mkdir(parents=True)
        for part, count in (("train", 10 * examples), ("t10k", 20)):
            labels = np.arange(count, dtype=np.uint8) % 10
            images = rng.integers(0, 256, (count, 28, 28), np.uint8)
            _idx(root / name / f"{part}-images-idx3-ubyte.gz", 2051, images)
            _idx(root / name / f"{part}-labels-idx1-ubyte.gz", 2049, labels)
    gtsrb(root / "gtsrb")
    return root


def _idx(path: Path, magic: int, array: np.ndarray) -> None:
    header = struct.pack(f">{1 + array.ndim}I", magic, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


def gtsrb(place: Path, tracks: int = 20) -> None:
    """The npz of 43 classes and the archive of three."""
    place.mkdir(parents=True)
    count = 43 * tracks * FRAMES
    images = np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels, track, frame = np.indices((43, tracks, FRAMES)).reshape(3, -1)
    arrays = {"labels": labels.astype(np.uint8), "track": track.astype(np.uint16)}
    np.savez(place / "gtsrb-32x32.npz", images=images, frame=frame.astype(np.uint8), **arrays)
    with tarfile.open(place / "gtsrb-3class-ppm.tar.gz", "w:gz", compresslevel=1) as archive:
        for name, content in pictures((0, 14, 19), tracks):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def pictures(classes: tuple[int, ...], tracks: int) -> list[tuple[str, bytes]]:
    """Names and contents, `gtsrb/<class>/<track>_<frame>.ppm`, of several sizes."""
    found, rng = [], np.random.default_rng(2)
    for label in classes:
        for number in range(tracks * FRAMES):
            side = 25 + number % 20
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (side, side + 1, 3), np.uint8)).save(file, "PPM")
            name = f"gtsrb/{label}/{number // FRAMES:05}_{number % FRAMES:05}.ppm"
            found.append((name, file.getvalue()))
    return found
