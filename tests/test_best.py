import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.best import NAME, Trained
from bench.data import Preprocessing
from bench.errors import ConvoyError
from bench.record import RecordError
from bench.trial import Trial

DRAWN = settings(deadline=None, max_examples=100, database=None)


def example() -> Trained:
    generator = np.random.default_rng(0)
    return Trained(
        trial=Trial.create({"features": 4, "optimizer": "sgd"}, {"data": "x"}),
        classes=("zero", "été", "two"),
        preprocessing=Preprocessing(8, 8, 1, (0.5,), (0.25,)),
        weights={
            "0/kernel": generator.normal(size=(3, 3, 1, 4)).astype(np.float32),
            "0/bias": np.zeros(4, np.float64),
            "1/mean": np.float32([np.nan, np.inf, -0.0]),
            "scalar": np.array(3, np.int32),
        },
        test_predictions=np.array([2, 0, 1], np.int32),
        metrics={"test_accuracy": 0.5, "valid_loss": None},
    )


def same(one: Trained, other: Trained) -> bool:
    arrays = [(one.test_predictions, other.test_predictions)]
    arrays += [(one.weights[k], other.weights.get(k)) for k in one.weights]
    return (
        list(one.weights) == list(other.weights)
        and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in arrays)
        and all(a.shape == b.shape for a, b in arrays)
        and (one.trial, one.classes, one.preprocessing, one.metrics)
        == (other.trial, other.classes, other.preprocessing, other.metrics)
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    workdir = tmp_path_factory.mktemp("run")
    example().write(workdir / NAME)
    return workdir, (workdir / NAME).read_bytes()


def refused(workdir: Path) -> str:
    with pytest.raises(RecordError) as caught:
        Trained.read(workdir)
    message = str(caught.value)
    assert "\n" not in message
    assert str(workdir) in message
    return message


def test_round_trip(tmp_path: Path) -> None:
    example().write(tmp_path / NAME)
    assert same(Trained.read(tmp_path), example())


@given(
    st.dictionaries(
        st.text("abc/0_", min_size=1, max_size=12),
        st.tuples(
            st.sampled_from(("float32", "float64", "int32", "uint8")),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        max_size=5,
    ),
    st.lists(st.text(max_size=5), max_size=3),
)
@settings(deadline=None, max_examples=20, database=None)
def test_any_weights_round_trip(
    written: tuple[Path, bytes], shapes: dict[str, Any], classes: list[str]
) -> None:
    workdir = written[0]
    weights = {k: np.arange(np.prod(s)).reshape(s).astype(d) for k, (d, s) in shapes.items()}
    best = Trained(**{**vars(example()), "weights": weights, "classes": tuple(classes)})
    best.write(workdir / NAME)
    assert same(Trained.read(workdir), best)


def test_the_newer_replaces_the_older(tmp_path: Path) -> None:
    example().write(tmp_path / NAME)
    newer = Trained(**{**vars(example()), "weights": {}, "metrics": {"test_accuracy": 1.0}})
    newer.write(tmp_path / NAME)
    assert same(Trained.read(tmp_path), newer)
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_missing(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path} holds no {NAME}: no trial has been completed there"
    assert "holds no" in refused(tmp_path / "missing")


def test_truncated_anywhere(written: tuple[Path, bytes]) -> None:
    workdir, content = written
    for length in range(0, len(content), 13):
        (workdir / NAME).write_bytes(content[:length])
        refused(workdir)


def found_or_harmless(workdir: Path, content: bytearray) -> None:
    """A zip's checksums cover all that is read; of its names, times and flags some do no harm."""
    (workdir / NAME).write_bytes(content)
    message = ""
    try:
        assert Trained.read(workdir).trial == example().trial
    except ConvoyError as error:
        message = str(error)
    assert "\n" not in message


@given(st.data())
@DRAWN
def test_flipped_bits_are_found_or_harmless(written: tuple[Path, bytes], data: Any) -> None:
    workdir, content = written
    damaged = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    found_or_harmless(workdir, damaged)


def test_flipped_bits_in_every_byte_of_the_directory(written: tuple[Path, bytes]) -> None:
    """The end of a zip, whose flags make `zipfile` raise the most different things."""
    workdir, content = written
    for place in range(content.index(b"PK\x01\x02"), len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0b100001
        found_or_harmless(workdir, damaged)


@given(st.binary(max_size=200))
@DRAWN
def test_any_bytes(written: tuple[Path, bytes], content: bytes) -> None:
    (written[0] / NAME).write_bytes(content)
    refused(written[0])


class Trap:
    """Unpickling one of these makes the test fail."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle in best.npz was run",)


@pytest.mark.parametrize("name", ["about", "test_predictions", "weights/0/kernel"])
def test_pickled_objects_are_never_loaded(tmp_path: Path, name: str) -> None:
    example().write(tmp_path / NAME)
    with np.load(tmp_path / NAME) as file:
        arrays = {k: file[k] for k in file.files}
    arrays[name] = np.array([Trap()], dtype=object)
    np.savez(tmp_path / NAME, **arrays)
    assert "Python objects, which are never loaded" in refused(tmp_path)


@pytest.mark.parametrize(
    "about",
    [
        "",
        "{",
        "3",
        "null",
        "[]",
        "{}",
        '{"trial": "x"}',
        '{"trial": "x", "settings": 3}',
        '{"trial": "x", "settings": {}, "classes": 3}',
        '{"trial": "x", "settings": {}, "classes": [], "preprocessing": 3}',
        '{"trial": "x", "settings": {}, "classes": [], "preprocessing": {"height": 0}}',
    ],
)
def test_what_is_said_about_it_is_checked(tmp_path: Path, about: str) -> None:
    np.savez(tmp_path / NAME, about=np.array(about), test_predictions=np.zeros(1))
    refused(tmp_path)


@pytest.mark.parametrize("missing", ["about", "test_predictions"])
def test_a_part_is_missing(tmp_path: Path, missing: str) -> None:
    example().write(tmp_path / NAME)
    with np.load(tmp_path / NAME) as file:
        arrays = {k: file[k] for k in file.files if k != missing}
    np.savez(tmp_path / NAME, **arrays)
    assert missing in refused(tmp_path)


def test_other_files_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    refused(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.npy", "not an array")
    refused(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:  # an array of 8 EB
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**18,)}
        with archive.open("about.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, header)
    refused(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:  # numpy's error has several lines
        member_bytes = b"\x93NUMPY\x02\x00" + (20_000).to_bytes(4, "little") + b" " * 20_000
        archive.writestr("about.npy", member_bytes)
    refused(tmp_path)
    path.unlink()
    path.mkdir()
    refused(tmp_path)


def test_a_refused_write_leaves_the_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example().write(tmp_path / NAME)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RecordError, match="No space left"):
        Trained(**{**vars(example()), "weights": {}}).write(tmp_path / NAME)
    assert same(Trained.read(tmp_path), example())


def test_what_is_said_about_it_is_json(written: tuple[Path, bytes]) -> None:
    workdir = written[0]
    example().write(workdir / NAME)
    with np.load(workdir / NAME, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
    assert sorted(about) == ["classes", "metrics", "preprocessing", "settings", "trial"]
