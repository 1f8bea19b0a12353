from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from made_up_sweep import Event, sweep

from bench.record import Journal, Results


@pytest.fixture
def events() -> list[Event]:
    return list(sweep())


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Iterable[Event]], Results]:
    """Writes the journal of `tmp_path` anew and reads it back."""

    def through_disk(events: Iterable[Event]) -> Results:
        (tmp_path / "journal.jsonl").unlink(missing_ok=True)
        with Journal(tmp_path / "journal.jsonl") as journal:
            journal.append(*events)
        return Results.read(tmp_path)

    return through_disk
