"""`run.json` and `trials.csv`, read back as they were written; and refused where they were not."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import artifacts
from bench.artifacts import read_run, read_trials
from bench.points import Measured
from bench.record import METRICS, SCHEMA, RecordError, Results
from bench.report.scaling_views import run_json as scaling_json
from bench.report.views import run_json, trials_csv

DRAWN = settings(deadline=None, max_examples=100, database=None)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=20)
# What a hyperparameter can be. Names do not look like numbers, or CSV could not tell them apart.
NAMES = st.text("abcdef_-. ,\"'\n", min_size=1, max_size=6)
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.booleans() | NUMBERS | NAMES | st.lists(NUMBERS | TEXT, max_size=3).map(tuple)
SETTINGS = st.sampled_from(("features", "optimizer", "filters", "flip"))
STATUSES = st.sampled_from(("running", "completed", "diverged", "failed", "paused", "pruned"))
METRIC = st.none() | st.floats()
TRIALS = st.lists(
    st.fixed_dictionaries(
        {
            "settings": st.dictionaries(SETTINGS, VALUES),
            "status": STATUSES,
            "metrics": st.fixed_dictionaries(dict.fromkeys(METRICS, METRIC)),
            "collapsed": st.booleans(),
            "seconds": st.floats(0, 1e6),
            "error": TEXT,
        }
    ),
    max_size=5,
)  # fmt: skip


def made(trials: list[dict[str, Any]]) -> Results:
    results = Results()
    results.add({"event": "run", "data": {"valid": 1, "test": 360}})
    for number, trial in enumerate(trials):
        name = f"{number:012d}"  # digits only: an id is text all the same
        about = {"trial": name, "settings": trial["settings"]}
        results.add({"event": "trial", **about, "program": "00000001", "parameters": 7})
        position = {"trial": name, "epoch": 2, "step": 9, "collapsed": trial["collapsed"]}
        results.add({"event": "epoch", **position, **trial["metrics"]})
        ended = {"status": trial["status"], "seconds": trial["seconds"], "error": trial["error"]}
        results.add({"event": "end", "trial": name, **ended})
    return results


def known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@given(TRIALS)
@DRAWN
def test_trials_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, trials: list[dict[str, Any]]
) -> None:
    workdir = tmp_path_factory.getbasetemp()
    (workdir / "trials.csv").write_bytes(trials_csv(made(trials)))
    names = sorted({name for trial in trials for name in trial["settings"]})
    found = sorted(read_trials(workdir), key=lambda row: row["trial"])
    assert len(found) == len(trials)
    for number, (row, trial) in enumerate(zip(found, trials, strict=True)):
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in trial["settings"].items()}
        metrics = {name: known(trial["metrics"][name]) for name in METRICS}
        expected = {
            "trial": f"{number:012d}",
            "status": trial["status"],
            **{name: plain.get(name) for name in names},
            "params": 7,
            "epochs_done": 2,
            **metrics,
            "test_examples": None if trial["metrics"]["test_accuracy"] is None else 360,
            "collapsed": trial["collapsed"],
            "program": "00000001",
            "seconds": trial["seconds"],
            "error": trial["error"] or None,
        }
        assert list(row) == list(expected)
        assert {k: (type(v), v) for k, v in row.items()} == {
            k: (type(v), v) for k, v in expected.items()
        }


@given(TRIALS)
@DRAWN
def test_a_run_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, trials: list[dict[str, Any]]
) -> None:
    workdir = tmp_path_factory.getbasetemp()
    content = run_json(made(trials))
    (workdir / "run.json").write_bytes(content)
    assert read_run(workdir) == json.loads(content)


def refused(read: Any, workdir: Path) -> str:
    with pytest.raises(RecordError) as caught:
        read(workdir)
    message = str(caught.value)
    assert message.isprintable()
    assert str(workdir) in message
    return message


RUN: dict[str, Any] = {"schema": SCHEMA, "programs": [{"id": "p"}], "hardware": None, "totals": {}}


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        (
            {"schema": SCHEMA + 1},
            f"is of schema {SCHEMA + 1}, this Convoy knows up to {SCHEMA}: upgrade",
        ),
        ({"schema": 0}, "is of schema"),
        ({"schema": True}, "is of schema"),
        ({"schema": None}, "is of schema"),
        ({"schema": "1"}, "is of schema"),
        ({"programs": None}, "no list of programs"),
        ({"programs": {}}, "no list of programs"),
        ({"programs": [1]}, "no list of programs"),
        ({"programs": [{}]}, "no list of programs"),
        ({"hardware": []}, "hardware is no object"),
        ({"totals": "x"}, "totals is no object"),
        ({"x": math.nan}, "NaN is no finite number"),
        ({"x": -math.inf}, "-Infinity is no finite number"),
        ({"x": 10**400}, "no number of anything"),
        ({"x": ["\ud800"]}, "surrogates not allowed"),
    ],
)
def test_what_later_code_relies_on_is_checked(
    tmp_path: Path, changed: dict[str, Any], clause: str
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**RUN}))
    assert read_run(tmp_path) == RUN
    (tmp_path / "run.json").write_text(json.dumps({**RUN, **changed}))
    assert clause in refused(read_run, tmp_path)


@pytest.mark.parametrize(
    ("content", "clause"),
    [
        (b"", "is damaged (Expecting value"),
        (b"[]", "holds no object"),
        (b"\xff{}", "is no UTF-8 text"),
        (b'{"schema": 1', "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"schema": 1e999}', "1e999 is no finite number"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "no number of anything"),
    ],
)
def test_damaged_run(tmp_path: Path, content: bytes, clause: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert clause in refused(read_run, tmp_path)


def test_a_hardware_benchmark_is_no_sweep(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(scaling_json(Measured()))
    assert "give a sweep's run directory" in refused(read_run, tmp_path)


@pytest.mark.parametrize(
    ("content", "clause"),
    [
        (b"", "line 0: no column 'trial'"),
        (b"trial,x\n", "line 1: no column 'status'"),
        (b"trial,status,status\n", "line 1: over 1000 columns, or two of one name"),
        (b"trial,status," + b",".join(b"%d" % n for n in range(1000)), "line 1: over 1000 columns"),
        (b"trial,status\na,completed\nb\n", "line 3: 1 cells in 2 columns"),
        (b"trial,status\na,completed,x\n", "line 2: 3 cells in 2 columns"),
        (b"trial,status\n\n", "line 2: 0 cells"),
        (b"trial,status\n,completed\n", "line 2: a trial without id"),
        (b"trial,status\na,\n", "line 2: a trial without id or status"),
        (b"trial,status\na,x\nb,x\na,x\n", "line 4: trial 'a' is there twice"),
        (b'trial,status,e\na,x,"1\n2"\na,x,\n', "line 4: trial 'a'"),
        (b'trial,status\na,"x', "line 2: unexpected end of data"),
        (b'trial,status\n"a"b,x\n', "line 2: "),
        (b"trial,status,n\na,x,1e999\n", "line 2: 1e999 is no finite number"),
        (b"trial,status,n\na,x," + b"9" * 5000, "line 2: "),
        (b"trial,status,n\na,x,[1\n", "line 2: "),
        (b"trial,status,n\na,x," + b"[" * 50_000, "line 2: "),
        (b"trial,status\na," + b"x" * 200_000, "line 2: field larger than"),
        (b"trial,status\n\xe9,x\n", "is no UTF-8 text"),
    ],
)
def test_damaged_trials(tmp_path: Path, content: bytes, clause: str) -> None:
    (tmp_path / "trials.csv").write_bytes(content)
    assert clause in refused(read_trials, tmp_path)


def test_what_only_looks_like_a_number_is_text(tmp_path: Path) -> None:
    odd = ("nan", "inf", "1_0", "007", "٣", "1.", ".5", "true", "None", "+1", "1 ")
    (tmp_path / "trials.csv").write_text(
        "trial,status,x\n" + "".join(f"{n},1,{v}\n" for n, v in enumerate(odd))
    )
    assert [(row["trial"], row["status"], row["x"]) for row in read_trials(tmp_path)] == [
        (str(n), "1", value) for n, value in enumerate(odd)
    ]  # fmt: skip


@pytest.mark.parametrize(("read", "name"), [(read_run, "run.json"), (read_trials, "trials.csv")])
def test_files_that_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any, name: str
) -> None:
    assert "No such file" in refused(read, tmp_path)
    (tmp_path / name).mkdir()
    assert "not a plain file" in refused(read, tmp_path)
    (tmp_path / name).rmdir()
    (tmp_path / name).write_bytes(b"x" * 101)
    monkeypatch.setattr(artifacts, "MOST_BYTES", 100)
    assert "over 100 bytes" in refused(read, tmp_path)
