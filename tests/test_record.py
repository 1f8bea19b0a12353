"""What is read of a journal, and what is counted along."""

import itertools
import math
import sys
import zlib
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import METRICS, Dispatches, Journal, RecordError, Results, TrialRecord
from bench.trial import Trial

DRAWN = settings(deadline=None, max_examples=40, database=None)
Event = dict[str, Any]
TRIALS = [Trial.create({"seed": seed}, {}) for seed in range(6)]


TRAIN: Event = {
    "event": "train", "program": "p", "seconds": 0.5, "iterations": 4, "lanes": 2, "examples": 128,
    "flops": 1e9, "slot_flops": 2e9, "warmup": False, "input_s": 0.03125,
}  # fmt: skip


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
    evaluate = {"event": "evaluate", "program": "p", "seconds": 0.25}
    last = {**epoch(TRIALS[0], 2, valid_accuracy=0.9), "collapsed": True}
    events = [
        run(),
        {**program, "peak_bytes": None},
        begun(TRIALS[0]),
        TRAIN,
        evaluate,
        epoch(TRIALS[0]),
        TRAIN,
        evaluate,
        last,
        {**ended(TRIALS[0], "failed"), "error": "why"},
        {"event": "finish", "reason": "completed", "wall_s": 3.0},
    ]
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(*events)
    found = Results.read(tmp_path)
    assert found == results(*events)
    record = found.trials[TRIALS[0].id]
    assert record.trial == TRIALS[0]
    assert (record.program, record.parameters, record.status) == ("p", 7, "failed")
    assert (record.epochs, record.step, record.seconds) == (2, 20, 1.5)
    assert record.metrics == {**dict.fromkeys(METRICS, 0.5), "valid_accuracy": 0.9}
    assert (record.collapsed, record.error) == (True, "why")
    assert [(row["epoch"], row["step"]) for row in found.curves] == [(1, 10), (2, 20)]
    row = {name: TRAIN[name] for name in Dispatches.TYPES}
    assert list(found.programs["p"].train) == [row, row]
    assert found.programs["p"].eval_s == 0.5
    assert found.programs["p"].input_s == 0.0625
    assert found.runs == [run()]
    assert found.finished == events[-1]


@pytest.mark.parametrize("status", ["running", "paused", "failed", "completed", "diverged"])
def test_after_a_restart_the_unfinished_begin_again(status: str) -> None:
    kept = status in ("completed", "diverged", "failed")
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


def test_input_is_unknown_once_a_dispatch_does_not_tell() -> None:
    """As in journals from before it was taken: what is left of them would be too little."""
    program = {"event": "program", "plan": {"id": "p"}, "compile_s": 2.0, "peak_bytes": None}
    old = {name: value for name, value in TRAIN.items() if name != "input_s"}
    found = [results(run(), program, *told) for told in ([], [TRAIN], [TRAIN, old], [old, TRAIN])]
    assert [f.programs["p"].input_s for f in found] == [0.0, 0.03125, None, None]


def test_tuning_may_be_told_before_its_program() -> None:
    tuned = [
        {"event": "tune", "program": p, "seconds": s} for p, s in (("p", 1), ("q", 2), ("p", 4))
    ]
    assert results(run(), *tuned).tune_s == {"p": 5, "q": 2}


def test_programs_add_up_over_restarts() -> None:
    events = [
        {"event": "program", "plan": {"id": "p", "steps": s}, "compile_s": 2.0, "peak_bytes": s}
        for s in (5, 9)
    ]
    found = results(run(), events[0], TRAIN, run(), events[1], TRAIN).programs["p"]
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
KINDS = ("run", "trial", "completed", "diverged", "failed", "paused", *3 * ["epoch"])


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
    ranks = [(r.metrics["valid_accuracy"], r.metrics["valid_loss"]) for r in one_way]
    assert ranks == sorted(
        ranks, key=lambda s: (s[0] is None, -(s[0] or 0), math.inf if s[1] is None else s[1])
    )


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


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(KINDS), SCORE), max_size=30))
@DRAWN
def test_what_is_counted_along_is_what_counting_finds(told: list[tuple[int, str, Any]]) -> None:
    """The best trial, the counts and what has to be beaten, after every event."""
    found = results(run())
    for seed, kind, accuracy in told:
        trial = TRIALS[seed]
        if kind == "run":
            found.add(run())
        elif kind == "trial" or getattr(found.trials.get(trial.id), "status", "") != "running":
            found.add(begun(trial))
        elif kind == "epoch":
            found.add(epoch(trial, valid_accuracy=accuracy))
        else:
            found.add(ended(trial, kind))
        check_counts(found)


def check_counts(found: Results) -> None:
    statuses = [record.status for record in found.trials.values()]
    assert +found.statuses == Counter(statuses)
    assert found.done == sum(status not in ("running", "paused") for status in statuses)
    first = next(iter(found.ranked()), None)
    if first and (
        first.status in ("diverged", "failed") or first.metrics.get("valid_accuracy") is None
    ):
        first = None
    assert found.best is first
    completed = [r for r in found.trials.values() if r.status == "completed"]
    for metrics in ({"valid_accuracy": a, "valid_loss": 0.5} for a in (None, 0.0, 0.25, 0.5, 1.0)):
        mine = found.score("m", metrics)
        beaten = all(mine < found.score(r.trial.id, r.metrics) for r in completed)
        assert found.beats_completed("m", metrics) == beaten


def test_no_event_but_the_first_of_a_process_looks_at_other_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten thousand trials must not cost ten thousand squared: scores are counted, not seconds."""
    calls = []
    score = Results.score
    monkeypatch.setattr(Results, "score", lambda *a: calls.append(1) or score(*a))
    found = results(run())
    for number in range(100):
        trial = Trial(f"{number:012x}", {})
        before = len(calls)
        rising = {"valid_accuracy": number / 100}
        for event in (begun(trial), epoch(trial, 1, **rising), epoch(trial, 2, **rising)):
            found.add(event)
        assert found.beats_completed(trial.id, rising) == (found.best.trial.id == trial.id)
        found.add(ended(trial))
        assert len(calls) - before <= 5
    assert len(calls) <= 500


def test_an_epoch_and_a_dispatch_are_rows_of_bytes() -> None:
    """A million of each has to fit: 80 bytes an epoch, 49 a dispatch, and no objects."""
    found = results(
        run(), {"event": "program", "plan": {"id": "p"}, "compile_s": 1.0, "peak_bytes": 1}
    )
    for trial in TRIALS:
        found.add(begun(trial))
        for number in range(100):
            found.add(epoch(trial, number + 1))
            found.add(TRAIN)
    assert len(found.curves) == len(found.programs["p"].train) == 600
    for table, bound in ((found.curves, 90), (found.programs["p"].train, 56)):
        assert table.nbytes == sum(map(bytes_of, table._columns.values()))
        assert table.nbytes <= 600 * bound
        # What `array` holds ready for rows to come is an eighth at most.
        assert sum(map(sys.getsizeof, table._columns.values())) < 1.2 * 600 * bound
    with pytest.raises(AttributeError):
        found.trials[TRIALS[0].id].more = 1  # type: ignore[attr-defined]


def bytes_of(column: array) -> int:
    return len(column.tobytes())


def without(event: Event, name: str) -> Event:
    return {key: value for key, value in event.items() if key != name}


PROGRAM: Event = {"event": "program", "plan": {"id": "p"}, "compile_s": 1.0, "peak_bytes": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "epoch"},
        {**PROGRAM, "plan": 1},
        without(TRAIN, "seconds"),
        {**TRAIN, "program": "unknown"},
        {**TRAIN, "program": []},
        {**TRAIN, "seconds": "1"},
        {**TRAIN, "iterations": 2**63},
        {**TRAIN, "input_s": "1"},
        {**TRAIN, "losses": [1]},
        {**TRAIN, "losses": {TRIALS[1].id: []}},
        {**TRAIN, "losses": {TRIALS[0].id: [[0, 9, 1.0, 1.0, 1.0]]}},
        {**TRAIN, "losses": {TRIALS[0].id: [[0, 2**70, 1.0, 1.0, 1.0, 1.0]]}},
        {**TRAIN, "losses": {TRIALS[0].id: [[0, 9, 1.0, 1.0, 1.0, "1"]]}},
        {
            **TRAIN,
            "losses": {TRIALS[0].id: [[0, 9, 1.0, 1.0, 1.0, 1.0]] * 2 + [[0, 9, [], 1, 1, 1]]},
        },
        {"event": "evaluate", "program": "p", "seconds": None},
        {"event": "tune", "program": "p"},
        without(PROGRAM, "plan"),
        {**PROGRAM, "plan": {}},
        {**PROGRAM, "compile_s": "1"},
        without(begun(TRIALS[1]), "settings"),
        {**begun(TRIALS[1]), "settings": [1]},
        {**begun(TRIALS[1]), "trial": {}},
        {**begun(TRIALS[1]), "program": 1},
        epoch(TRIALS[1]),
        {**epoch(TRIALS[0]), "epoch": 2**40},
        {**epoch(TRIALS[0]), "valid_loss": "1"},
        {**epoch(TRIALS[0]), "valid_loss": 10**400},
        without(epoch(TRIALS[0]), "test_loss"),
        ended(TRIALS[1]),
        without(ended(TRIALS[0]), "status"),
        {**ended(TRIALS[0]), "status": []},
    ],
)
def test_a_whole_line_that_no_sweep_writes_is_named(tmp_path: Path, wrong: Event) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(run(), PROGRAM, begun(TRIALS[0]), wrong, ended(TRIALS[0]))
    with pytest.raises(RecordError) as caught:
        Results.read(tmp_path)
    message = str(caught.value)
    assert f"{tmp_path / 'journal.jsonl'}, line 4, is not of a sweep (" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        b"[1]",
        b"null",
        b'"x"',
        b"{",
        b'{"x": 1',
        b'{"event": ' + b"[" * 10**5,
        b'{"event": ' + b"9" * 5000,
    ],
)
def test_a_whole_line_that_is_no_event_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(run())
    checksum = zlib.crc32(text + b"}")
    path.write_bytes(path.read_bytes() + b'%b,"crc32":"%08x"}\n' % (text, checksum))
    with pytest.raises(RecordError, match="line 2, is no event"):
        Results.read(tmp_path)


def test_events_of_another_kind_say_nothing(tmp_path: Path) -> None:
    """So that what a later Convoy adds need not be a new schema."""
    known = [run(), *measured(TRIALS[0])]
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(known[0], {"event": "weather", "trial": 3}, *known[1:])
    assert Results.read(tmp_path) == results(*known)
