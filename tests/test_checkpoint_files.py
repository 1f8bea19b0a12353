"""The files of a checkpoint: bitwise what was saved comes back, or the word that they are damaged."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.checkpoint import Checkpoints
from bench.checkpoint_files import SCHEMA
from bench.journal import RecordError
from tests.checkpoints import Arrays, Made, bits, is_numbered, numbered, save, sign

DRAWN = settings(deadline=None, max_examples=25, database=None)
FLIPPED = settings(DRAWN, max_examples=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ODD = ["", ".", "..", "/", "a/b", ".params", "[0]", "['x'].y", "\0", "é", "\ud800", ".zarray"]
NAMES = st.sampled_from(ODD) | st.text(max_size=6)


@st.composite
def leaves(draw: st.DrawFn) -> np.ndarray:
    """Of any bits: NaNs with payloads, subnormal numbers, -0."""
    kinds = ["float32", "float64", "float16", "int32", "int64", "uint32", "uint8", "bool"]
    dtype = np.dtype(draw(st.sampled_from(kinds)))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = int(np.prod(shape)) * dtype.itemsize
    content = draw(st.binary(min_size=size, max_size=size) | st.just(bytes(size)))
    if dtype.kind == "b":
        content = bytes(byte & 1 for byte in content)
    return np.frombuffer(content, dtype).reshape(shape)


PROGRAMS = st.dictionaries(NAMES, st.dictionaries(NAMES, leaves(), max_size=3), max_size=3)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "checkpoints")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """For tests that put back what they change."""
    return Made(tmp_path_factory.mktemp("run") / "checkpoints")


@pytest.fixture(scope="module")
def any_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), PROGRAMS)
@DRAWN
def test_round_trip(any_folder: Path, about: dict[str, Any], arrays: Arrays) -> None:
    told: list[str] = []
    checkpoints = Checkpoints(any_folder, say=told.append)
    checkpoints.save(about, arrays)
    assert checkpoints.wait(), told
    saved = Checkpoints(any_folder, say=told.append).newest()
    assert saved is not None
    assert repr(saved.about) == repr(about), "NaN is not equal to itself, its word is"
    assert bits(saved.arrays) == bits(arrays)
    assert list(saved.arrays) == list(arrays)
    assert not told


def test_what_numpy_computes_and_how_it_lies_in_memory(tmp_path: Path) -> None:
    square = np.arange(12.0).reshape(3, 4)
    arrays: Any = {
        "p": {"scalar": np.float32(0.1), "turned": square.T, "every other": square[:, ::2]}
    }
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({}, arrays)
    saved = checkpoints.newest()
    assert saved is not None
    for path, array in saved.arrays["p"].items():
        np.testing.assert_array_equal(array, arrays["p"][path], strict=True)
        array[...] = 0  # may be written to


@pytest.mark.parametrize("dtype", [object, "U3", "S3", "M8[s]", "c16", ">f4"])
def test_other_dtypes_are_refused(tmp_path: Path, dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"checkpoints hold no arrays of .*: w"):
        Checkpoints(tmp_path).save({}, {"p": {"w": np.zeros(2, dtype)}})
    with pytest.raises(TypeError):
        Checkpoints(tmp_path).save({"a": object()}, {})


def test_orbax_itself_can_read_the_arrays(made: Made) -> None:
    import orbax.checkpoint as ocp

    tree = ocp.StandardCheckpointer().restore(made.last / "arrays")
    expected = [a for paths in numbered(2).values() for a in paths.values()]
    about = json.loads((made.last / "about.json").read_text())
    assert len([path for paths in about["arrays"].values() for path in paths]) == len(expected)
    for number, array in enumerate(expected):
        if array.size:
            np.testing.assert_array_equal(tree[str(number)], array, strict=True)


# What is damaged is passed over


@contextlib.contextmanager
def put_back(*paths: Path) -> Iterator[None]:
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


def overwrite(path: Path, place: int, added: bytes) -> None:
    content = path.read_bytes()
    place %= len(content)
    path.write_bytes(content[:place] + added + content[place + len(added) :])


@pytest.mark.parametrize("kind", ["about.json", "manifest.json", "arrays/**/*"])
def test_any_flipped_bit_is_found(kept: Made, kind: str) -> None:
    found = sorted(path for path in kept.last.glob(kind) if path.is_file())
    assert len(found) > 4 or "json" in kind

    @given(st.sampled_from(found), st.integers(0), st.integers(0, 7))
    @FLIPPED
    def flips(path: Path, place: int, bit: int) -> None:
        content = path.read_bytes()
        with put_back(path):
            overwrite(path, place, bytes([content[place % len(content)] ^ 1 << bit]))
            kept.goes_on_from_the_first("is damaged")
        assert is_numbered(kept.checkpoints.newest(), 2)

    flips()


def test_changed_bytes_under_a_right_manifest_do_no_harm(kept: Made) -> None:
    """No error but the ones of this project, and the process goes on."""
    found = sorted(path for path in kept.last.rglob("*") if path.is_file())

    @given(st.sampled_from(found), st.integers(0), st.binary(min_size=1, max_size=9))
    @FLIPPED
    def forged(path: Path, place: int, added: bytes) -> None:
        with put_back(path, kept.last / "manifest.json"):
            overwrite(path, place, added)
            sign(kept.last)
            with contextlib.suppress(RecordError):  # a digit of the schema
                kept.checkpoints.newest()

    forged()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "was not finished"),
    "empty": (lambda f: (shutil.rmtree(f), f.mkdir()), "was not finished"),
    "a file": (lambda f: (shutil.rmtree(f), f.touch()), "was not finished"),
    "truncated": (lambda f: os.truncate(f / "about.json", 40), "'about.json' is not as it was"),
    "missing": (lambda f: (f / "about.json").unlink(), "'about.json' is missing"),
    "no arrays": (lambda f: shutil.rmtree(f / "arrays"), "is missing"),
    "added": (lambda f: (f / "arrays" / "checkpoint").touch(), "'arrays/checkpoint' was added"),
    "pipe": (lambda f: os.mkfifo(f / "arrays" / "pipe"), "'arrays/pipe' is no plain file"),
    "link": (
        lambda f: (f / "about.json").rename(f.parent / "a") and (f / "about.json").symlink_to("../a"),
        "'about.json' is no plain file",
    ),
    "linked manifest": (
        lambda f: (f / "manifest.json").rename(f.parent / "m")
        and (f / "manifest.json").symlink_to("../m"),
        "'manifest.json' is no plain file",
    ),
    "linked folder": (
        lambda f: f.rename(f.parent / f"of {f.name}") and f.symlink_to(f"of {f.name}"),
        "was not finished",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_passed_over(made: Made, name: str) -> None:
    damage, words = DAMAGE[name]
    damage(made.last)
    made.goes_on_from_the_first(words)
    assert is_numbered(made.checkpoints.newest(), 1), "told and passed over, time and again"
    damage(made.first)
    made.starts_without(str(made.first), str(made.last))
    assert save(made.checkpoints, 3)
    assert is_numbered(made.checkpoints.newest(), 3)
    left = {path.name for path in made.folder.iterdir() if path.is_dir() and not path.is_symlink()}
    assert {n for n in left if n.isdigit()} == {"00000003"}, "what is damaged does not count"


DEEP = "[" * 100_000
MANIFESTS: dict[str, str] = {
    "nothing": "", "no text": "\0", "null": "null", "a list": '["about.json"]', "of lists": "[[]]",
    "digits": "1" * 5000, "deep": DEEP, "deep inside": '{"about.json": ' + DEEP,
    "a number": '{"about.json": 1e999}', "a number within": '{"about.json": {"size": 1e999}}',
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_any_kind_is_damage(made: Made, name: str) -> None:
    (made.last / "manifest.json").write_text(MANIFESTS[name])
    made.goes_on_from_the_first()


@pytest.mark.parametrize("where", ["../outside", "arrays/../../outside", "{made}/outside"])
def test_a_manifest_does_not_lead_outside(made: Made, where: str) -> None:
    (made.folder / "outside").write_text("secret")
    outside = {"size": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    manifest = json.loads((made.last / "manifest.json").read_text())
    manifest[where.format(made=made.folder)] = outside
    (made.last / "manifest.json").write_text(json.dumps(manifest))
    made.goes_on_from_the_first("is missing")


def described(shape: Any, dtype: Any = "float32", **more: Any) -> str:
    return json.dumps({"schema": 1, "about": {}, "arrays": {"p": {"w": [dtype, shape]}}, **more})


MANY = {str(i): ["int8", []] for i in range(99)}
ABOUTS = {
    "nothing": "", "a list": "[]", "null": "null", "digits": "1" * 5000,
    "deep": DEEP, "deep about": '{"about":' * 50_000,
    "no schema": '{"about": {}, "arrays": {}}', "arrays a list": described([], arrays=[]),
    "leaves a list": described([], arrays={"p": ["w"]}),
    "leaf a number": described([], arrays={"p": {"w": 1}}),
    "leaf a word": described([], arrays={"p": {"w": "ab"}}),
    "more leaves": described([], arrays={"p": MANY}),
    "objects": described([0], "object"), "dtype a list": described([0], ["float32"]),
    "fields": described([0], "f4,f4"), "negative": described([-1]), "a float": described([2.0]),
    "true": described([True]), "a number": described(7), "another": described([3]),
    "huge": described([10**18]), "huger": described([10**4000]), "product": described([2**40] * 2),
    "huge and none": described([0, 10**30]), "dimensions": described([1] * 100),
    "none of many dimensions": described([0] * 100),
}  # fmt: skip


@pytest.mark.parametrize("name", ABOUTS)
def test_an_about_of_any_kind_is_damage(made: Made, name: str) -> None:
    (made.last / "about.json").write_text(ABOUTS[name])
    sign(made.last)
    made.goes_on_from_the_first()


@pytest.mark.parametrize(
    "changed", [{"schema": s} for s in (0, -1, 1.5, "1", [1], None)] + [{"about": []}]
)
def test_what_else_about_must_be(made: Made, changed: dict[str, Any]) -> None:
    text = json.loads((made.last / "about.json").read_text())
    (made.last / "about.json").write_text(json.dumps({**text, **changed}))
    sign(made.last)
    made.goes_on_from_the_first()


@given(JSON, st.sampled_from(["schema", "about", "arrays", "program", "leaf", "dtype", "shape"]))
@DRAWN
def test_any_json_in_its_place_does_no_harm(kept: Made, value: Any, place: str) -> None:
    path = kept.last / "about.json"
    text = json.loads(path.read_bytes())
    dtype, shape = text["arrays"]["digits-1"]["order"]
    leaf = {"dtype": [value, shape], "shape": [dtype, value]}.get(place, value)
    if place in text:
        text[place] = value
    elif place == "program":
        text["arrays"]["digits-1"] = value
    else:
        text["arrays"]["digits-1"]["order"] = leaf
    with put_back(path, kept.last / "manifest.json"):
        path.write_text(json.dumps(text))
        sign(kept.last)
        with contextlib.suppress(RecordError):  # a greater schema
            kept.checkpoints.newest()


FORGED: dict[str, dict[str, Any]] = {
    "of objects": {"dtype": "|O"},
    "compressed": {"compressor": {"id": "zstd", "level": 1}},
    "absurd": {"shape": [2**50]},
    "absurd chunks": {"chunks": [2**50]},
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_zarr_is_damage_and_does_not_end_the_process(tmp_path: Path, name: str) -> None:
    """Read by what they say themselves, the last two end the process with std::bad_alloc."""
    import tensorstore as ts

    told: list[str] = []
    checkpoints = Checkpoints(tmp_path, say=told.append)
    checkpoints.save({}, {"p": {"w": np.zeros(3, np.float32)}})
    assert checkpoints.wait()
    folder = tmp_path / "00000001"
    base = {"driver": "file", "path": f"{folder}/arrays/"}
    store = ts.KvStore.open({"driver": "ocdbt", "base": base}).result()
    layout = {**json.loads(store.read("0/.zarray").result().value), **FORGED[name]}
    store.write("0/.zarray", json.dumps(layout)).result()
    sign(folder)
    assert checkpoints.newest() is None
    assert "is damaged" in told[0]
    (folder / "about.json").write_text(described(layout["shape"]))
    sign(folder)
    assert checkpoints.newest() is None


def test_a_newer_version_wrote_it(made: Made) -> None:
    about = json.loads((made.last / "about.json").read_text())
    (made.last / "about.json").write_text(json.dumps({**about, "schema": SCHEMA + 1}))
    sign(made.last)
    with pytest.raises(RecordError, match=f"schema {SCHEMA + 1} .* schema {SCHEMA}; upgrade"):
        made.checkpoints.newest()
    assert not made.told
