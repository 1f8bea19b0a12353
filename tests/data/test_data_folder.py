import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import DataOptions, folder, load, pixels
from bench.errors import DataError

RNG = np.random.default_rng(0)


def picture(mode: str = "RGB", size: tuple[int, int] = (6, 5), kind: str = "PNG") -> bytes:
    pixel = RNG.integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixel).convert(mode).save(file, kind)
    return file.getvalue()


def make(root: Path, names: str = "cat/1.png cat/2.png dog/1.png dog/2.png") -> Path:
    for name in names.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture())
    return root


def archive(root: Path, file: Path) -> Path:
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as packed:
            for path in sorted(root.rglob("*")):
                packed.write(path, path.relative_to(root.parent))
    else:
        with tarfile.open(file, "w" if file.suffix == ".tar" else "w:gz") as tar:
            tar.add(root, root.name)
    return file


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar", "a.zip"])
def test_archives_equal_their_folder(tmp_path: Path, name: str) -> None:
    make(tmp_path / "in" / "top")
    for stray in ("README.md", ".DS_Store", "cat/Thumbs.db", "labels.csv", "LICENSE"):
        (tmp_path / "in" / "top" / stray).write_text("x")
    direct = folder.load(tmp_path / "in" / "top", 0, "keep")
    nested = folder.load(tmp_path / "in", 0, "keep")
    packed = folder.load(archive(tmp_path / "in" / "top", tmp_path / name), 0, "keep")
    for other in (nested, packed):
        np.testing.assert_array_equal(direct.images, other.images)
        np.testing.assert_array_equal(direct.labels, other.labels)
    assert direct.class_names == packed.class_names == ("cat", "dog")
    assert direct.images.shape == (4, 5, 6, 3)
    assert direct.groups is None


def test_numbers_sort_as_numbers_and_tracks_group(tmp_path: Path) -> None:
    make(tmp_path, "10/00_00.png 10/00_01.png 9/00_00.png 9/01_00.png 9/01_01.png")
    source = folder.load(tmp_path, 0, "keep")
    assert source.class_names == ("9", "10")
    assert source.groups is not None
    assert source.groups.tolist() == [0, 1, 1, 2, 2]


def test_color(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "cat" / "1.png").write_bytes(picture("L"))
    assert folder.load(tmp_path, 0, "keep").images.shape[3] == 3
    assert folder.load(tmp_path, 0, "gray").images.shape[3] == 1
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(picture("1"))
    assert folder.load(tmp_path, 7, "keep").images.shape == (4, 7, 7, 1)
    assert folder.load(tmp_path, 0, "rgb").images.shape[3] == 3


def test_sixteen_bits_keep_their_high_byte(tmp_path: Path) -> None:
    wide = np.array([[0, 255, 256, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert pixels.picture(tmp_path / "a.png", None, "gray").ravel().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("name", "content", "clause"),
    [
        ("dog/3.png", b"no picture", "3.png: not a readable picture"),
        ("dog/3.png", picture()[:60], "3.png: not a readable picture"),
        ("dog/notes.doc", b"x", "notes.doc: not a readable picture"),
        ("dog/3.png", picture(size=(7, 7)), "differ in size"),
        ("dog/3.eps", picture(kind="EPS"), "3.eps: not a readable picture .PNG, JPEG"),
        ("loose.png", picture(), "one sub-folder for each class"),
        ("dog/more/3.png", picture(), "one sub-folder for each class"),
        ("bird/.hidden", b"", "folder bird has no pictures"),
    ],
)
def test_wrong_trees(tmp_path: Path, name: str, content: bytes, clause: str) -> None:
    make(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=clause) as caught:
        load(f"folder:{tmp_path}")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_class_and_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="one sub-folder for each class"):
        folder.load(tmp_path / "empty", 0, "keep")
    with pytest.raises(DataError, match="one class only"):
        folder.load(make(tmp_path / "one", "cat/1.png"), 0, "keep")
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(DataError, match="neither a folder nor an archive"):
        folder.load(tmp_path / "a.rar", 0, "keep")


def test_links(tmp_path: Path) -> None:
    root = make(tmp_path / "in")
    (root / "dog" / "3.png").symlink_to(root / "cat" / "1.png")
    assert len(folder.load(root, 0, "keep").labels) == 5
    (tmp_path / "out.png").write_bytes(picture())
    (root / "dog" / "4.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(DataError, match="is a link that leaves"):
        folder.load(root, 0, "keep")
    with pytest.raises(DataError, match="is a link or device"):
        folder.load(archive(root, tmp_path / "a.tar"), 0, "keep")


def test_names_that_lead_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("../cat/1.png", picture())
    with pytest.raises(DataError, match="leads out of it"):
        folder.load(tmp_path / "a.zip", 0, "keep")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar", "a.zip"])
def test_damaged_archives(tmp_path: Path, name: str) -> None:
    file = archive(make(tmp_path / "in"), tmp_path / name)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:10], b"", b"x" * 2000):
        file.write_bytes(content)
        with pytest.raises(DataError, match=name):
            folder.load(file, 0, "keep")


def test_a_tar_does_not_end_early(tmp_path: Path) -> None:
    file = archive(make(tmp_path / "in"), tmp_path / "a.tar")
    whole = file.read_bytes()
    start = whole.index(b"in/dog/2.png")
    for damage in (b"!", bytes(512), bytes(1024)):
        file.write_bytes(whole[:start] + damage + whole[start + len(damage) :])
        with pytest.raises(DataError, match=r"a\.tar"):
            folder.load(file, 0, "keep")
    file.write_bytes(whole + b"more")
    with pytest.raises(DataError, match="something follows its end"):
        folder.load(file, 0, "keep")


def test_the_checksum_of_gzip_is_verified(tmp_path: Path) -> None:
    file = archive(make(tmp_path / "in"), tmp_path / "a.tar.gz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    with pytest.raises(DataError, match="CRC check failed"):
        folder.load(file, 0, "keep")


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setattr(pixels, "MOST_PIXELS", 29)
    with pytest.raises(DataError, match="6x5 pixels are over 29"):
        folder.load(tmp_path, 0, "keep")
    monkeypatch.setattr(pixels, "MOST_BYTES", 10)
    with pytest.raises(DataError, match="too large for a picture"):
        folder.load(tmp_path, 0, "keep")


def test_pillow_own_bomb_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(DataError, match="decompression bomb"):
        folder.load(tmp_path, 0, "keep")


def test_picture_does_what_the_folder_did(tmp_path: Path) -> None:
    make(tmp_path)
    data = load(f"folder:{tmp_path}", DataOptions(image_size=4, valid_fraction=0))
    assert data.licence == "unknown"
    remade = [data.preprocessing.picture(p) for p in sorted(tmp_path.rglob("*.png"))]
    kept = [*data.train.images, *data.test.images]
    assert sorted(p.tobytes() for p in remade) == sorted(p.tobytes() for p in kept)
