import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_sweep import RUN, Event, begin

from bench.artifacts import read_trials
from bench.record import Journal, Results
from bench.report.__main__ import main
from bench.trial import Trial


def test_it_rewrites_the_views_and_prints_the_tables(
    read: Callable[[list[Event]], Results],
    events: list[Event],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read(events)
    assert main([str(tmp_path), "--top", "5"]) == 0
    assert "Best 5 of 48 trials" in capsys.readouterr().out
    assert (tmp_path / "report.md").exists()
    assert "<title>Convoy: a sweep on digits</title>" in (tmp_path / "report.html").read_text()


def test_a_path_that_is_no_run_is_one_line_and_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.report", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: cannot read ")
    assert done.stderr.count("\n") == 1


def test_a_damaged_journal_is_one_line_and_2(
    read: Callable[[list[Event]], Results],
    events: list[Event],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read(events)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b"digits", b"digitz"))
    assert main([str(tmp_path)]) == 2
    assert "line 1, is damaged" in capsys.readouterr().err


def test_no_jax_is_imported() -> None:
    code = "import sys, bench.report.__main__; sys.exit(bool({'jax', 'flax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_journal_made_by_hand_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Its lines are whole and of a sweep, and yet nothing can be made of them."""
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append({**RUN, "data": {"valid": 1, "test": "many"}, "hardware": 3})
    assert main([str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "holds what no sweep records" in told


def test_an_error_with_a_carriage_return_stays_in_its_cell(tmp_path: Path) -> None:
    trial = Trial.create({}, {})
    with Journal(tmp_path / "journal.jsonl") as journal:
        ended = {"event": "end", "trial": trial.id, "status": "failed", "seconds": 0.0}
        journal.append(RUN, begin(trial, "p"), {**ended, "error": "a\rb\nc"})
    assert main([str(tmp_path)]) == 0
    [row] = read_trials(tmp_path)
    assert row["error"] == "a b\nc"
