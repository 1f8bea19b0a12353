"""Idx files, NumPy archives and what a run directory holds: valid ones, and what damages them."""

import csv
import gzip
import io
import json
import struct
import tempfile
import warnings
import zipfile
import zlib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bench.data import DataOptions, Preprocessing, load
from bench.journal import finite
from bench.record import Results
from bench.report.views import run_json, trials_csv
from bench.suite import Benchmark
from bench.trial import Trial
from tests import made_up_machine
from tests.fuzz.mutate import NUMBERS, altered, damaged
from tests.made_up_machine import Machine
from tests.report import made_up_sweep

_SWEEP = made_up_sweep.sweep()
_FIRST = next(event for event in _SWEEP if event["event"] == "trial")
_LOSSES = {_FIRST["trial"]: [[0, 10, 5.5, 640.0, 300.0, 640.0], [1, 18, None, 512.0, 0.0, 512.0]]}
_EVENTS = [
    *_SWEEP,
    made_up_sweep.train(_FIRST["program"], 1.0, losses=_LOSSES),
    made_up_sweep.PEAKS,
    made_up_sweep.FINISH,
]
_LATER = [event["trial"] for event in _EVENTS if event["event"] == "trial"][12:]
_FEW = [event for event in _EVENTS if event.get("trial") not in _LATER]  # a report of them is quick

# The types and shapes that a header of an array may claim.
_DTYPES = (
    "'|u1'", "'<i8'", "'>i4'", "'<f4'", "'|O'", "'<U5'", "'|S3'", "'<M8[s]'", "'|V4'", "'|V0'", "'<U0'",
    "'|b1'", "'<c16'", "[('a', '|u1'), ('b', '<f8', (3,))]", "[('a', [('b', '|O')])]", "('|u1', (4,))",
    "'<U536870911'", "'<u8'", "None", "'x'", "{}", "'O'", "'<f2'", "'<g'",
)  # fmt: skip
_SHAPES = (
    "()", "(12,)", "(12, 4, 4)", "(12, 4, 4, 3)", "(0,)", "(-1,)", "(-3, -4)", "(10**9, 10**9)", "(12L,)",
    "(True,)", "(1.5,)", "12", "[12]", "(" + "1, " * 70 + ")", "(" + "0, " * 40 + ")", "None",
    "(-0,)", "((12,),)", "(9" + "9" * 60 + ",)", "(0, 10**30)", "(4294967296, 4294967296)",
    "(18446744073709551616, 0)", "(" * 150 + ")" * 150,
)  # fmt: skip
_CELLS = (
    "", "nan", "inf", "-inf", "1e999", "9" * 5000, "[", "[1, 2]", "[" * 5000, "[NaN]", '["\\ud800"]', "True",
    "é\0", "a\nb", "\r", '"', "'", "{}", "=1+1", "1_0", "٣", "x" * 200_000, "007", "-0", "trial", "1.", ".5",
    "[1e999]",
)  # fmt: skip


def idx(random: Random) -> dict[str, bytes]:
    """The four files of MNIST by name, one of them damaged, some of them packed."""
    pixels, labels = bytes(range(240)), bytes(n % 10 for n in range(20))
    found = {}
    for side in ("train", "t10k"):
        found[f"{side}-images-idx3-ubyte"] = struct.pack(">4I", 2051, 20, 4, 3) + pixels
        found[f"{side}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, 20) + labels
    name = random.choice(list(found))
    whole = bytearray(found[name])
    if random.random() < 0.4:
        field = random.randrange(1 + whole[3])
        whole[4 * field : 4 * field + 4] = struct.pack(">I", random.choice(NUMBERS) % 2**32)
    else:
        whole[:] = damaged(random, whole)
    found[name] = bytes(whole)
    if random.random() < 0.5:
        packed = gzip.compress(found.pop(name), mtime=0)
        found[name + ".gz"] = damaged(random, packed) if random.random() < 0.5 else packed
    return found


@cache
def _arrays() -> dict[str, np.ndarray]:
    images = np.arange(12 * 4 * 4 * 3, dtype=np.uint8).reshape(12, 4, 4, 3)
    labels = np.arange(12) % 3
    return {
        "images": images, "labels": labels, "test_images": images[:3], "test_labels": labels[:3],
        "track": labels.astype(np.uint16), "class_names": np.array(["a", "b", "c"]),
    }  # fmt: skip


@cache
def _best() -> dict[str, np.ndarray]:
    about = {
        **Trial.create({"features": 4}, {}).to_json(),
        "classes": ["a", "b", "c"],
        "preprocessing": Preprocessing(4, 4, 3, (0.5,) * 3, (0.25,) * 3).to_json(),
        "metrics": {"test_accuracy": 0.5},
    }
    return {
        "about": np.array(json.dumps(about)), "test_predictions": np.zeros(3, np.int32),
        "weights/0/kernel": np.ones((3, 3, 3, 4), np.float32), "weights/0/bias": np.zeros(4, np.float32),
    }  # fmt: skip


def valid_npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **_arrays())
    return file.getvalue()


class Trap:
    """Unpickling one of these calls `print`, of which the harness would hear."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("a pickle was run",)


@cache
def fingerprint() -> str:
    """Of the valid data set, a fourth of it test data."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.npz").write_bytes(valid_npz())
        options = DataOptions(valid_fraction=0.0, test_fraction=0.25)
        return load(f"npz:{folder}/a.npz", options).fingerprint


def npz(random: Random) -> bytes:
    """A damaged data set."""
    return _npz(random, _arrays())


@cache
def valid_best() -> bytes:
    file = io.BytesIO()
    np.savez(file, **_best())
    return file.getvalue()


def best(random: Random) -> bytes:
    """A damaged `best.npz`."""
    arrays = _best()
    if random.random() < 0.4:
        about = altered(random, json.loads(str(arrays["about"]))).decode("utf-8", "surrogatepass")
        arrays = {**arrays, "about": np.array(about)}
    return _npz(random, arrays)


def _npz(random: Random, arrays: dict[str, np.ndarray]) -> bytes:
    kept = {name: array for name, array in arrays.items() if random.random() < 0.98}
    if kept and random.random() < 0.3:
        kept[random.choice(list(kept))] = _odd(random)
    parts = [(f"{name}.npy", _npy(array)) for name, array in kept.items()]
    if parts and random.random() < 0.5:
        number = random.randrange(len(parts))
        name, body = parts[number]
        body = _claims(random, body) if random.random() < 0.6 else damaged(random, body)
        parts[number] = (name, body)
    if parts and random.random() < 0.1:
        parts.append(random.choice(parts))
    file = io.BytesIO()
    method = random.choice((0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 12, 14))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w", method) as archive:
        for name, body in parts:
            archive.writestr(name, body)
    whole = file.getvalue()
    return damaged(random, whole) if random.random() < 0.3 else whole


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def _odd(random: Random) -> np.ndarray:
    no_text = np.full((3,), 0x110000, "<u4").view("<U1")
    return random.choice((
        np.array([Trap()], object), np.zeros((0, 3)), np.array(3), np.array("x"), np.full(12, np.nan),
        np.ones(12, bool), np.array(["\ud800", "a\nb", "c"]), np.array([2**64 - 1] * 12, np.uint64), no_text,
        np.zeros(3, "S4,i4"), np.full(12, -(2**63)), np.asfortranarray(np.ones((12, 4, 4, 3), np.uint8)),
        np.array(["x" * 1000, "b", "c"]),
    ))  # fmt: skip


def _claims(random: Random, body: bytes) -> bytes:
    """The array's data under another header."""
    start = 10 + struct.unpack_from("<H", body, 8)[0]
    header = (
        f"{{'descr': {random.choice(_DTYPES)}, 'fortran_order': {random.choice(('True', 'False', 'None'))}, "
        f"'shape': {random.choice(_SHAPES)}, }}"
    )
    if random.random() < 0.1:
        header = damaged(random, header.encode()).decode("latin1")
    text = header.encode("latin1") + b" " * random.choice((0, 5, 20_000)) + b"\n"
    version = random.choice(((1, "<H"), (1, "<H"), (2, "<I"), (3, "<I")))
    length = struct.pack(version[1], min(len(text), 65_535))
    return b"\x93NUMPY" + bytes((version[0], 0)) + length + text + body[start:]


@cache
def run() -> bytes:
    return run_json(_results())


@cache
def trials() -> bytes:
    return trials_csv(_results())


def _results() -> Results:
    results = Results()
    for event in _EVENTS:
        results.add(event)
    return results


def damaged_run(random: Random) -> bytes:
    if random.random() < 0.4:
        return damaged(random, run(), trials())
    return altered(random, json.loads(run()))


def damaged_trials(random: Random) -> bytes:
    if random.random() < 0.4:
        return damaged(random, trials(), run())
    rows = list(csv.reader(io.StringIO(trials().decode())))[: random.choice((1, 2, 5, 49))]
    for _ in range(random.choice((1, 1, 3))):
        _change(random, rows)
    text = io.StringIO()
    csv.writer(text, lineterminator=random.choice(("\n", "\n", "\r\n"))).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _change(random: Random, rows: list[list[str]]) -> None:
    """Puts a cell, adds one, takes one away; or the same with a row."""
    row, cell = random.choice(rows), random.choice(_CELLS)
    match random.randrange(6):
        case 0 | 1 if row:
            row[random.randrange(len(row))] = cell
        case 2:
            row.append(cell)
        case 3 if row:
            row.pop()
        case 4:
            rows.append(list(row))
        case 5 if len(rows) > 1:
            rows.remove(row)


def journal(random: Random, kind: str = "sweep") -> bytes:
    """Lines of a journal, damaged, altered, doubled, left out or out of order; most with a right checksum."""
    events, bodies = _events(kind), list(_bodies(kind))
    kinds = sorted({event["event"] for event in events})
    for _ in range(random.choice((1, 1, 2, 5))):
        changed = random.choice(kinds)
        number = random.choice([n for n, event in enumerate(events) if event["event"] == changed])
        event = altered(random, finite(events[number]))
        if random.random() < 0.9:
            bodies[number] = event
        else:
            bodies.insert(number, event)
    if random.random() < 0.2:
        del bodies[random.randrange(len(bodies))]
    if random.random() < 0.1:
        random.shuffle(bodies)
    whole = _lines(bodies)
    return damaged(random, whole) if random.random() < 0.2 else whole


@cache
def valid_journal() -> bytes:
    return _lines(_bodies("few"))


def _lines(bodies: list[bytes]) -> bytes:
    """With their checksums."""
    return b"".join(b'%b,"crc32":"%08x"}\n' % (b[:-1], zlib.crc32(b[:-1] + b"}")) for b in bodies)


@cache
def _events(kind: str) -> list[made_up_sweep.Event]:
    match kind:
        case "sweep":
            return _EVENTS
        case "few":
            return _FEW
    return made_up_machine.events(Benchmark(entries=("tiny",), seconds=30.0), Machine())


@cache
def _bodies(kind: str) -> list[bytes]:
    return [json.dumps(finite(event)).encode() for event in _events(kind)]
