"""A run directory that is being written: its journal, what that holds, its checkpoints, its plan.

Checkpoints and the journal go together: a checkpoint knows where the journal ended when it was taken, and
who goes on from it cuts the journal back to there. What was recorded later is computed again, to the bit.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from bench import files
from bench.blueprint import Blueprint
from bench.checkpoint import Checkpoints, Saved
from bench.data import Dataset
from bench.errors import brief
from bench.journal import Journal, Position, RecordError, finite, holds, write_file
from bench.lock import locked
from bench.record import Results
from bench.report import write_views
from bench.resume import CONFIG

JOURNAL, PLAN = "journal.jsonl", "plan.json"
MOST_BYTES = 1 << 28  # of a plan


class RunDirectory:
    """A run directory, held by this process alone, as a context manager.

    Args:
        path: of it; made if it is missing.
        checkpoints: how many to keep.
        say: what is told to the user, a line at a time.

    Attributes:
        results: all that is recorded.

    Raises:
        RecordError: on entering: it is in use, cannot be written or is damaged.
    """

    def __init__(self, path: Path, checkpoints: int, say: Callable[[str], None]):
        self.path, self._say = path, say
        self.checkpoints = Checkpoints(path / "checkpoints", checkpoints, say)
        self.results = Results()
        self._noted: list[Mapping[str, Any]] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(locked(self.path))
            self._journal = stack.enter_context(Journal(self.path / JOURNAL))
            self.results = Results.read(self.path)
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not KeyboardInterrupt:  # who asks twice does not wait for the disk either
            self.checkpoints.wait()
        self._open.close()

    def begin(self, saved: Saved | None, run: Mapping[str, Any]) -> None:
        """A process begins, where the journal ended when `saved` was taken.

        Without a checkpoint, finished trials stay, and the others begin again.

        Args:
            saved: see `newest`.
            run: the event that says what begins.
        """
        self._noted.clear()
        if saved is not None:
            self._journal.cut(Position(**saved.about["journal"]))
            self.results = Results.read(self.path)
        self.record({**run, "resumes": saved is not None})

    def newest(self) -> Saved | None:
        """The newest whole checkpoint that belongs to the journal."""

        def belongs(saved: Saved) -> bool:
            try:
                position, elapsed_s = Position(**saved.about["journal"]), saved.about["elapsed_s"]
                known = elapsed_s is None or elapsed_s >= 0
                return known and holds(self.path / JOURNAL, position)
            except (KeyError, TypeError, ValueError, OverflowError):  # made by hand
                return False

        return self.checkpoints.newest(belongs)

    def save(
        self, about: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]
    ) -> None:
        """Begins to write a checkpoint of the state in which all that is noted has happened."""
        self.record()
        self.checkpoints.save({**about, "journal": asdict(self._journal.position)}, arrays)

    def note(self, *events: Mapping[str, Any]) -> None:
        """Events to be written with the next that are recorded, in one wait for the disk."""
        self._noted += events

    def record(self, *events: Mapping[str, Any]) -> None:
        """Writes events to the journal, those noted before them first, then takes them into the results."""
        written = [finite(event) for event in (*self._noted, *events)]
        self._noted.clear()
        if written:
            self._journal.append(*written)
        for event in written:
            self.results.add(event)

    def write_config(self, config: Mapping[str, Any]) -> None:
        write_file(self.path / CONFIG, json.dumps(config, indent=1).encode())

    def write_plan(self, blueprint: Blueprint) -> None:
        """To be called before anything is computed by it."""
        write_file(self.path / PLAN, json.dumps(blueprint.to_json(), indent=1).encode())

    def write_views(self, dataset: Dataset) -> None:
        """Writes the tables and reports, from the results and what was learned."""
        write_views(self.path, self.results, dataset)


def read_plan(workdir: Path) -> Blueprint | None:
    """The plan by which a run goes on; None where there is none yet.

    Raises:
        RecordError: it is damaged.
    """
    path = workdir / PLAN
    try:
        return Blueprint.from_json(json.loads(files.content(path, MOST_BYTES)))
    except FileNotFoundError:
        return None
    except RecordError:
        raise
    except Exception as error:  # whatever a damaged or foreign file leads to
        raise RecordError(
            f"{path} is damaged ({type(error).__name__}: {brief(error)}); without it and the folder "
            "checkpoints, the sweep is planned anew and unfinished trials begin again"
        ) from error
