import errno
import itertools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import (
    METRICS,
    Journal,
    RecordError,
    Results,
    TrialRecord,
    read_journal,
    write_file,
)
from bench.trial import Trial

DRAWN = settings(deadline=None, max_examples=40, database=None)
Event = dict[str, Any]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip
EVENTS = st.lists(
    st.dictionaries(st.text(max_size=8), VALUES, max_size=3).map(lambda e: {"event": "x", **e}),
    max_size=3,
)
THREE: list[Event] = [
    {"event": "run", "time": "2026-01-01", "é": "ü\n"},
    {"event": "train", "seconds": 0.25, "nested": {"a": [1, None]}},
    {"event": "finish", "reason": "completed"},
]


def write(path: Path, *events: Event) -> bytes:
    with Journal(path) as journal:
        journal.append(*events)
    return path.read_bytes()


def one_line(error: pytest.ExceptionInfo[RecordError], *words: object) -> None:
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def raising(code: int) -> Callable[..., Any]:
    def fails(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fails


# Journal


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "journal.jsonl"


@given(EVENTS, EVENTS)
@DRAWN
def test_round_trip(journal: Path, first: list[Event], second: list[Event]) -> None:
    journal.unlink(missing_ok=True)
    write(journal, *first)
    content = write(journal, *second)
    assert list(read_journal(journal)) == first + second
    assert content.count(b"\n") == len(first + second), "a line an event"
    for line in content.splitlines():
        json.loads(line)


def test_each_append_is_on_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    path = tmp_path / "j"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(len(list(read_journal(path)))))
    with Journal(path) as journal:
        for event in THREE:
            journal.append(event)
        journal.append(*THREE)
    assert synced == [1, 2, 3, 6]


def test_numbers_that_json_has_no_word_for_become_none(tmp_path: Path) -> None:
    values = (math.nan, [1.5, math.inf], {"a": -math.inf})
    text = write(tmp_path / "j", {"event": "x", "values": values}).decode()
    assert next(read_journal(tmp_path / "j"))["values"] == [None, [1.5, None], {"a": None}]
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_a_line_torn_at_any_byte_is_cut_off_and_the_rest_kept(tmp_path: Path) -> None:
    path, added = tmp_path / "j", {"event": "added"}
    content = write(path, *THREE)
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = THREE[: sum(end <= length for end in ends)]
        assert list(read_journal(path)) == whole
        assert path.read_bytes() == content[:length], "reading changes nothing"
        write(path, added)
        assert list(read_journal(path)) == [*whole, added], length


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    content = write(path, *THREE)
    last = len(content) - 1
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if place == last:  # without its end the last line is a torn one
            assert list(read_journal(path)) == THREE[:2]
            continue
        with pytest.raises(RecordError) as caught:
            list(read_journal(path))
        one_line(caught, path, f"line {content[:place].count(10) + 1}, is damaged")
        with pytest.raises(RecordError, match="is damaged"):
            Journal(path)
        assert path.read_bytes() == damaged, "a damaged journal is left as it is"


@given(st.integers(0, 2), st.data())
@DRAWN
def test_lines_cannot_be_changed_by_hand(journal: Path, number: int, data: Any) -> None:
    journal.unlink(missing_ok=True)
    lines = write(journal, *THREE).splitlines(keepends=True)
    text = bytearray(lines[number])
    text[data.draw(st.integers(0, len(text) - 2))] = data.draw(st.integers(0, 255))
    changed = bytes(text) != lines[number]
    journal.write_bytes(b"".join([*lines[:number], bytes(text), *lines[number + 1 :]]))
    if changed:
        with pytest.raises(RecordError, match=f"line {number + 1}, is damaged"):
            list(read_journal(journal))
    else:
        assert list(read_journal(journal)) == THREE


def test_an_empty_journal_is_one(tmp_path: Path) -> None:
    assert write(tmp_path / "j") == b""
    assert list(read_journal(tmp_path / "j")) == []


def test_no_journal_and_no_directory(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        Results.read(tmp_path)
    one_line(caught, tmp_path, "No such file", "is it a run directory?")
    for path in (tmp_path / "missing" / "j", tmp_path):
        with pytest.raises(RecordError) as caught:
            Journal(path)
        one_line(caught, path)


@pytest.mark.parametrize("name", ["open", "fsync", "truncate"])
def test_a_disk_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "j"
    before = write(path, THREE[0])
    owner = Path if name == "open" else os
    monkeypatch.setattr(owner, name, raising(errno.EROFS))
    if name == "open":  # reading goes through it too
        monkeypatch.setattr(Path, "read_bytes", lambda _: before)
    with pytest.raises(RecordError) as caught:
        write(path, THREE[1])
    one_line(caught, path, "Read-only file system")


def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line is written, then the disk is full: closing raises nothing else."""
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append(THREE[0])

    class Full:
        name = str(path)
        room = 20

        def write(self, content: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written, self.room = os.write(descriptor, content[: self.room]), 0
            return written

        def fileno(self) -> int:
            return descriptor

    real = journal._file
    descriptor = real.fileno()
    monkeypatch.setattr(journal, "_file", Full())
    with pytest.raises(RecordError) as caught:
        journal.append(THREE[1])
    one_line(caught, path, "No space left")
    real.close()
    assert path.read_bytes().count(b"\n") == 1, "half a line"
    assert list(read_journal(path)) == THREE[:1]
    write(path, THREE[2])
    assert list(read_journal(path)) == [THREE[0], THREE[2]]


def test_a_write_that_takes_only_part_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    file = journal._file

    class Slow:
        name, fileno, close = "j", file.fileno, file.close

        def write(self, content: bytes) -> int:
            return file.write(content[:7])

    monkeypatch.setattr(journal, "_file", Slow())
    journal.append(*THREE)
    journal.close()
    assert list(read_journal(tmp_path / "j")) == THREE


# Results

TRIALS = [Trial.create({"seed": seed}, {}) for seed in range(6)]


def run(valid: int = 100) -> Event:
    return {"event": "run", "data": {"train": 500, "valid": valid, "test": 100}}


def begun(trial: Trial) -> Event:
    return {"event": "trial", **trial.to_json(), "program": "p", "parameters": 7}


def epoch(trial: Trial, number: int = 1, **metrics: float | None) -> Event:
    figures = {**dict.fromkeys(METRICS, 0.5), **metrics}
    about = {"trial": trial.id, "epoch": number, "step": 10 * number, "collapsed": False}
    return {"event": "epoch", **about, **figures}


def ended(trial: Trial, status: str = "completed") -> Event:
    return {"event": "end", "trial": trial.id, "status": status, "seconds": 1.5}


def measured(trial: Trial, status: str = "completed", **metrics: float | None) -> list[Event]:
    return [begun(trial), epoch(trial, **metrics), ended(trial, status)]


def results(*events: Event) -> Results:
    found = Results()
    for event in events:
        found.add(event)
    return found


def names(found: list[TrialRecord]) -> list[int]:
    return [record.trial["seed"] for record in found]


def test_results_tell_what_the_journal_does(tmp_path: Path) -> None:
    program = {"event": "program", "plan": {"id": "p", "lanes": 2}, "compile_s": 1.0}
    train = {"event": "train", "program": "p", "seconds": 0.5, "steps": 4}
    evaluate = {"event": "evaluate", "program": "p", "seconds": 0.25}
    last = {**epoch(TRIALS[0], 2, valid_accuracy=0.9), "collapsed": True}
    events = [
        run(),
        {**program, "peak_bytes": None},
        begun(TRIALS[0]),
        train,
        evaluate,
        epoch(TRIALS[0]),
        train,
        evaluate,
        last,
        {**ended(TRIALS[0], "failed"), "error": "why"},
        {"event": "finish", "reason": "completed", "wall_s": 3.0},
    ]
    write(tmp_path / "journal.jsonl", *events)
    found = Results.read(tmp_path)
    assert found == results(*events)
    record = found.trials[TRIALS[0].id]
    assert record.trial == TRIALS[0]
    assert (record.program, record.parameters, record.status) == ("p", 7, "failed")
    assert (record.epochs, record.step, record.seconds) == (2, 20, 1.5)
    assert record.metrics == {**dict.fromkeys(METRICS, 0.5), "valid_accuracy": 0.9}
    assert (record.collapsed, record.error) == (True, "why")
    assert [(row["epoch"], row["step"]) for row in found.curves] == [(1, 10), (2, 20)]
    assert found.programs["p"].train == [train, train]
    assert found.programs["p"].eval_s == 0.5
    assert found.runs == [run()]
    assert found.finished == events[-1]


@pytest.mark.parametrize("status", ["running", "paused", "failed", "completed", "diverged"])
def test_after_a_restart_the_unfinished_begin_again(status: str) -> None:
    kept = status in ("completed", "diverged")
    events = [*measured(TRIALS[0]), begun(TRIALS[1]), epoch(TRIALS[1]), epoch(TRIALS[1], 2)]
    if status != "running":
        events.append(ended(TRIALS[1], status))
    found = results(run(), *events, {"event": "finish", "reason": "time limit"}, run())
    assert list(found.trials) == [t.id for t in TRIALS[: 1 + kept]]
    rows = [(row["trial"], row["epoch"]) for row in found.curves]
    assert rows == [(TRIALS[0].id, 1), *([(TRIALS[1].id, 1), (TRIALS[1].id, 2)] if kept else [])]
    assert found.finished is None
    assert len(found.runs) == 2
    again = [begun(TRIALS[1]), epoch(TRIALS[1]), ended(TRIALS[1])]
    for event in again:
        found.add(event)
    assert found.trials[TRIALS[1].id].epochs == 1
    assert sum(row["trial"] == TRIALS[1].id for row in found.curves) == (3 if kept else 1)


def test_programs_add_up_over_restarts() -> None:
    events = [
        {"event": "program", "plan": {"id": "p", "steps": s}, "compile_s": 2.0, "peak_bytes": s}
        for s in (5, 9)
    ]
    train = {"event": "train", "program": "p", "seconds": 1.0}
    found = results(run(), events[0], train, run(), events[1], train).programs["p"]
    assert (found.compile_s, found.peak_bytes, found.plan["steps"]) == (4.0, 9, 9)
    assert len(found.train) == 2


def test_ranked_best_first() -> None:
    found = results(
        run(),
        *measured(TRIALS[0], valid_accuracy=0.8, valid_loss=0.1),
        *measured(TRIALS[1], valid_accuracy=0.9, valid_loss=0.7),
        *measured(TRIALS[2], "diverged", valid_accuracy=0.99, valid_loss=0.0),
        *measured(TRIALS[3], valid_accuracy=0.9, valid_loss=None),
        begun(TRIALS[4]),
        *measured(TRIALS[5], valid_accuracy=0.9, valid_loss=0.6, test_accuracy=0.0),
    )
    assert names(found.ranked()) == [5, 1, 3, 0, 4, 2]


def test_ranked_by_training_where_nothing_is_held_back() -> None:
    events = [
        *measured(TRIALS[0], train_accuracy=0.9, valid_accuracy=None, valid_loss=None),
        *measured(TRIALS[1], train_accuracy=0.95, valid_accuracy=None, valid_loss=None),
    ]
    assert results(run(0), *events).rank_by == "train"
    assert results(run(1), *events).rank_by == "valid"
    assert names(results(run(0), *events).ranked()) == [1, 0]


SCORE = st.sampled_from((None, 0.0, 0.25, 0.5, 1.0))


@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=6), st.randoms())
@DRAWN
def test_the_ranking_does_not_depend_on_who_came_first(scores: list[Any], random: Any) -> None:
    each = [
        measured(trial, valid_accuracy=a, valid_loss=loss)
        for trial, (a, loss) in zip(TRIALS, scores, strict=False)
    ]
    one_way = results(run(), *itertools.chain(*each)).ranked()
    other = results(run(), *itertools.chain(*random.sample(each, len(each)))).ranked()
    assert [r.trial.id for r in one_way] == [r.trial.id for r in other]
    ranks = [(-(r.metrics["valid_accuracy"] or 0), r.metrics["valid_loss"]) for r in one_way]
    assert ranks == sorted(ranks, key=lambda s: (s[0], math.inf if s[1] is None else s[1]))


@given(st.lists(st.tuples(SCORE, SCORE), max_size=6), st.randoms())
@DRAWN
def test_the_last_that_beat_the_completed_ranks_first(scores: list[Any], random: Any) -> None:
    """So `best.npz`, rewritten by each that does, is of the trial that the report calls the best."""
    found, kept = results(run()), None
    trials = random.sample(TRIALS, len(TRIALS))
    for trial, (accuracy, loss) in zip(trials, scores, strict=False):
        metrics = {"valid_accuracy": accuracy, "valid_loss": loss}
        if found.beats_completed(trial.id, metrics):
            kept = trial.id
        for event in measured(trial, **metrics):
            found.add(event)
    assert kept == next((record.trial.id for record in found.ranked()), None)


def test_only_completed_trials_have_to_be_beaten() -> None:
    good = {"valid_accuracy": 0.9, "valid_loss": 0.3}
    better = {"valid_accuracy": 0.9, "valid_loss": 0.2}
    one, other = sorted(trial.id for trial in TRIALS[:2])
    trials = {trial.id: trial for trial in TRIALS}
    for status in ("diverged", "paused", "failed"):
        assert results(run(), *measured(trials[one], status, **better)).beats_completed(other, good)
    found = results(run(), *measured(trials[one], **good))
    assert found.beats_completed(other, better)
    assert not found.beats_completed(other, good), "the id decides between equals"
    assert not found.beats_completed(other, dict.fromkeys(good))
    assert results(run(), *measured(trials[other], **good)).beats_completed(one, good)


# Views


def test_write_file_replaces(tmp_path: Path) -> None:
    write_file(tmp_path / "view", b"old")
    write_file(tmp_path / "view", b"new")
    assert (tmp_path / "view").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["view"]


@pytest.mark.parametrize("name", ["write_bytes", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "view"
    write_file(path, b"old")
    if name == "write_bytes":

        def half(self: Path, content: bytes) -> None:
            with self.open("wb") as file:
                file.write(content[: len(content) // 2])
            raising(errno.ENOSPC)()

        monkeypatch.setattr(Path, name, half)
    else:
        monkeypatch.setattr(Path, name, raising(errno.ENOSPC))
    with pytest.raises(RecordError) as caught:
        write_file(path, b"new and longer")
    one_line(caught, path, "No space left")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["view"]


def test_a_directory_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "view", tmp_path / "file" / "view"):
        with pytest.raises(RecordError) as caught:
            write_file(path, b"")
        one_line(caught, path)
    # A read-only file system refuses the tidying up as well.
    monkeypatch.setattr(Path, "write_bytes", raising(errno.EROFS))
    monkeypatch.setattr(Path, "unlink", raising(errno.EROFS))
    with pytest.raises(RecordError) as caught:
        write_file(tmp_path / "view", b"")
    one_line(caught, "Read-only file system")
