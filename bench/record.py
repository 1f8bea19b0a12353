"""What a sweep leaves on disk. `journal.jsonl` is the one record; every other file is a view of it.

Each line of the journal is a JSON object with a checksum, appended and flushed to disk before anything
depends on it. A torn last line, from a process that was killed, is cut off; a damaged one elsewhere is an
error. Views are written to a temporary file and renamed, so that a reader sees the old or the new.
"""

import contextlib
import json
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.errors import ConvoyError
from bench.trial import Trial

SCHEMA = 1
_CHECKSUM = re.compile(r',"crc32":"([0-9a-f]{8})"\}$')

METRICS = tuple(
    f"{part}_{kind}"
    for part in ("running", "train", "valid", "test")
    for kind in ("loss", "accuracy")
)


class RecordError(ConvoyError):
    """A run directory that cannot be read or written."""


class Journal:
    """The append-only record of one run directory.

    Args:
        path: of the file; made if missing, its torn last line cut off if there is one.

    Raises:
        RecordError: a damaged line, or a file that cannot be opened.
    """

    def __init__(self, path: Path):
        try:
            if path.exists():
                whole = sum(len(line) + 1 for line, _ in _lines(path))
                os.truncate(path, whole)
            # Unbuffered: a failed write leaves nothing behind that closing would try again.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise RecordError(f"cannot write {path}: {error.strerror}") from error

    def append(self, *events: Mapping[str, Any]) -> None:
        """Writes events, in order, and waits until the disk has them.

        Raises:
            RecordError: the disk is full or gone.
        """
        content = b"".join(map(_line, events))
        try:
            while content:
                content = content[self._file.write(content) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(f"cannot write {self._file.name}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _line(event: Mapping[str, Any]) -> bytes:
    body = json.dumps(finite(event), separators=(",", ":"), allow_nan=False)
    return f'{body[:-1]},"crc32":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def finite(value: Any) -> Any:
    """NaN and infinities as None: JSON has no word for them."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a journal, without a torn last line.

    Raises:
        RecordError: no such file, or a damaged line; names the line.
    """
    for _, event in _lines(path):
        yield event


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror}; is it a run directory?"
        ) from error
    # What follows the last line end is empty, or torn.
    for number, line in enumerate(lines[:-1], 1):
        event = _checked(line)
        if event is None:
            raise RecordError(
                f"{path}, line {number}, is damaged; restore the file, or cut it to {number - 1} lines"
            )
        yield line, event


def _checked(line: bytes) -> dict[str, Any] | None:
    text = line.decode(errors="replace")
    found = _CHECKSUM.search(text)
    if found is None:
        return None
    body = text[: found.start()] + "}"
    if zlib.crc32(body.encode()) != int(found[1], 16):
        return None
    return json.loads(body)


@dataclass
class TrialRecord:
    """One trial as the journal tells it. Metrics are of its last epoch."""

    trial: Trial
    program: str
    parameters: int
    status: str = "running"
    epochs: int = 0
    step: int = 0
    seconds: float = 0.0
    metrics: dict[str, float | None] = field(default_factory=dict)
    collapsed: bool = False
    error: str = ""


@dataclass
class ProgramRecord:
    """One program as the journal tells it: its plan, and the seconds of its dispatches."""

    plan: dict[str, Any]
    compile_s: float = 0.0
    peak_bytes: int | None = None
    train: list[dict[str, float]] = field(default_factory=list)
    eval_s: float = 0.0


@dataclass
class Results:
    """A run directory's journal, read: what every report and view is made from.

    Attributes:
        trials: by id, in the order they began.
        curves: one row an epoch, as in `curves.parquet`.
        programs: by id.
        runs: what was written at each start of a process: hardware, software, data, counts.
        compile_s: wall-clock seconds in which programs were compiled, several at a time.
        finished: the last `finish` event, None while the sweep is unfinished.
    """

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    programs: dict[str, ProgramRecord] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    compile_s: float = 0.0
    finished: dict[str, Any] | None = None

    @classmethod
    def read(cls, workdir: Path) -> "Results":
        """The results in a run directory, finished or not.

        Raises:
            RecordError: see `read_journal`.
        """
        results = cls()
        for event in read_journal(workdir / "journal.jsonl"):
            results.add(event)
        return results

    def add(self, event: Mapping[str, Any]) -> None:
        """Takes in one event of the journal."""
        match event["event"]:
            case "run":
                self._restart()
                self.runs.append(dict(event))
            case "program":
                plan = dict(event["plan"])
                known = self.programs.setdefault(plan["id"], ProgramRecord(plan))
                known.plan = plan
                known.compile_s += event["compile_s"]
                known.peak_bytes = event["peak_bytes"]
            case "trial":
                trial = Trial.from_json(event)
                self.trials[trial.id] = TrialRecord(trial, event["program"], event["parameters"])
            case "train":
                self.programs[event["program"]].train.append(dict(event))
            case "compile":
                self.compile_s += event["seconds"]
            case "evaluate":
                self.programs[event["program"]].eval_s += event["seconds"]
            case "epoch":
                self._epoch(event)
            case "end":
                record = self.trials[event["trial"]]
                record.status, record.seconds = event["status"], event["seconds"]
                record.error = event.get("error", "")
            case "finish":
                self.finished = dict(event)

    def _epoch(self, event: Mapping[str, Any]) -> None:
        record = self.trials[event["trial"]]
        record.epochs, record.step = event["epoch"], event["step"]
        record.metrics = {name: event[name] for name in METRICS}
        record.collapsed = event["collapsed"]
        row = {name: event[name] for name in ("trial", "epoch", "step", *METRICS)}
        self.curves.append(row)

    def _restart(self) -> None:
        """A new process begins: what it had not finished starts again from the beginning."""
        self.finished = None
        done = {
            name
            for name, record in self.trials.items()
            if record.status in ("completed", "diverged")
        }
        self.trials = {name: record for name, record in self.trials.items() if name in done}
        self.curves = [row for row in self.curves if row["trial"] in done]

    @property
    def rank_by(self) -> str:
        """What trials are ranked by: `valid`, or `train` where no validation split is held."""
        return "valid" if self.runs and self.runs[-1]["data"]["valid"] else "train"

    def ranked(self) -> list[TrialRecord]:
        """Trials, best first: by accuracy, then loss, of the split that ranks; unmeasured ones last."""

        def key(record: TrialRecord) -> tuple:
            bad = record.status in ("diverged", "failed")
            return (bad, *self.score(record.trial.id, record.metrics))

        return sorted(self.trials.values(), key=key)

    def score(self, trial: str, metrics: Mapping[str, float | None]) -> tuple[float, float, str]:
        """Sorts the better trial first; the id decides between equals."""
        accuracy, loss = (metrics.get(f"{self.rank_by}_{kind}") for kind in ("accuracy", "loss"))
        return -1.0 * (accuracy or 0), math.inf if loss is None else loss, trial

    def beats_completed(self, trial: str, metrics: Mapping[str, float | None]) -> bool:
        """Whether a trial that ends with these metrics is better than every completed one."""
        done = (r for r in self.trials.values() if r.status == "completed")
        score = self.score(trial, metrics)
        return all(score < self.score(record.trial.id, record.metrics) for record in done)


def write_file(path: Path, content: bytes) -> None:
    """Writes a view: whole or not at all.

    Raises:
        RecordError: the disk is full, or the directory read-only; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RecordError(f"cannot write {path}: {error.strerror}") from error
