"""What a sweep leaves on disk. `journal.jsonl` is the one record (`bench.journal`); every other file is a
view of it, made from `Results`. These stay small in long runs: an epoch and a dispatch are rows of numbers
(`bench.columns`), and what is asked after every dispatch is counted along, never searched for.
"""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.columns import METRICS, Curves, Dispatches
from bench.errors import brief
from bench.journal import Journal, RecordError, finite, read_journal, write_file
from bench.tally import Tally
from bench.trial import Trial
from bench.windows import Windows

__all__ = [
    "METRICS", "SCHEMA", "Curves", "Dispatches", "Journal", "ProgramRecord", "RecordError", "Results",
    "TrialRecord", "check_schema", "finite", "read_journal", "write_file",
]  # fmt: skip

SCHEMA = 2
Score = tuple[float, float, str]
_DONE = ("completed", "diverged", "failed")  # these stay as they are when the sweep starts again
_ENDED = (*_DONE, "pruned")
_BAD = ("diverged", "failed")  # these rank last
_UNMEASURED = math.inf
WORK = ("flops_per_iteration", "bytes_per_iteration", "xla_flops", "xla_bytes")


def check_schema(schema: Any, where: str) -> None:
    """Refuses what a newer Convoy has written.

    Raises:
        RecordError: names both schemas.
    """
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise RecordError(
            f"{where} is of schema {ascii(schema)[:20]}, this Convoy knows up to {SCHEMA}: upgrade it"
        )


@dataclass(slots=True)
class TrialRecord:
    """One trial as the journal tells it. Metrics are of its last epoch; `error` says why it failed."""

    trial: Trial
    program: str
    parameters: int
    status: str = "running"
    epochs: int = 0
    step: int = 0
    seconds: float = 0.0
    metrics: dict[str, float | None] = field(default_factory=dict)
    best: Score | None = None  # of its epochs
    collapsed: bool = False
    error: str = ""


@dataclass(slots=True)
class ProgramRecord:
    """One program as the journal tells it: its newest plan, and its dispatches.

    Attributes:
        work: FLOPs and bytes of one training iteration of one lane, as `Program.work` tells them.
        input_s: seconds of giving its lanes what they train on; None where an older journal does not tell.
    """

    plan: dict[str, Any]
    compile_s: float = 0.0
    peak_bytes: int | None = None
    work: dict[str, float | None] = field(default_factory=dict)
    train: Dispatches = field(default_factory=Dispatches)
    input_s: float | None = 0.0
    eval_s: float = 0.0

    def trained(self, event: Mapping[str, Any]) -> None:
        """Takes in a training dispatch."""
        self.train.append(event)
        more = event.get("input_s")
        self.input_s = None if more is None or self.input_s is None else self.input_s + more


@dataclass
class Results:
    """A run directory's journal, read: what every report and view is made from.

    Attributes:
        trials: by id, in the order they began.
        curves: one row an epoch, as in `curves.parquet`.
        losses: trial → one row a window of steps, where they are recorded, as in `losses.parquet`.
        programs: by id.
        runs: what was written at each start of a process: hardware, software, data, counts.
        statuses: how many trials have each status.
        compile_s: wall-clock seconds in which programs were compiled, several at a time.
        tune_s: program → wall-clock seconds of choosing how it computes, no part of `compile_s`.
        tallies: program → how far its trials are.
        ended: the trials that ended for good, in that order.
        peaks: what the machine of the newest process reaches (`roofline.Peaks`), None until it is measured.
        finished: the last `finish` event, None while the sweep is unfinished.
    """

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves)
    losses: defaultdict[str, Windows] = field(default_factory=lambda: defaultdict(Windows))
    programs: dict[str, ProgramRecord] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    compile_s: float = 0.0
    tune_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    ended: list[str] = field(default_factory=list, compare=False)
    peaks: dict[str, Any] | None = None
    finished: dict[str, Any] | None = None
    # The best score of the completed trials; and of all that are measured, None once it must be looked for.
    _best_completed: Score | None = field(default=None, compare=False)
    _leader: Score | None = field(default=None, compare=False)

    @classmethod
    def read(cls, workdir: Path) -> "Results":
        """The results in a run directory, finished or not.

        Raises:
            RecordError: see `read_journal`; or a line that no sweep writes.
        """
        results, line, path = cls(), 1, workdir / "journal.jsonl"
        try:
            for event in read_journal(path):
                if event["event"] == "run":
                    check_schema(event.get("schema", SCHEMA), str(path))
                results.add(event)
                line += 1
        except RecordError:
            raise
        except Exception as error:  # whatever a key that is missing, or of another type, leads to
            what = f"{type(error).__name__}: {brief(error)}"
            raise RecordError(
                f"{path}, line {line}, is not of a sweep ({what}); use another run directory"
            ) from error
        return results

    def add(self, event: Mapping[str, Any]) -> None:
        """Takes in one event of the journal; a kind that it does not know says nothing."""
        match event["event"]:
            case "epoch":
                self._epoch(event)
            case "train":
                self.programs[event["program"]].trained(event)
                for trial, parts in event.get("losses", {}).items():
                    self.losses[self.trials[trial].trial.id].add(parts)
            case "evaluate":
                self.programs[event["program"]].eval_s += event["seconds"]
            case "trial":
                self._begin(event)
            case "end":
                self._end(event)
            case "compile":
                self.compile_s += event["seconds"]
            case "tune":  # perhaps before the program itself is told
                self.tune_s[event["program"]] += event["seconds"]
            case "program":
                plan = dict(event["plan"])
                known = self.programs.setdefault(plan["id"], ProgramRecord(plan))
                known.plan = {**known.plan, **plan}
                known.compile_s += event["compile_s"]
                known.peak_bytes = event["peak_bytes"]
                known.work = {name: event.get(name) for name in WORK}
            case "run":
                self.runs.append(dict(event))
                self._restart(event.get("resumes", False))
            case "peaks":
                self.peaks = {name: value for name, value in event.items() if name != "event"}
            case "finish":
                self.finished = dict(event)

    def _begin(self, event: Mapping[str, Any]) -> None:
        # The names, read anew with every line, are the same few.
        settings = {sys.intern(name): value for name, value in event["settings"].items()}
        trial = Trial.from_json({"trial": event["trial"], "settings": settings})
        begun_before = trial.id in self.trials
        program = sys.intern(event["program"])
        self.trials[trial.id] = TrialRecord(trial, program, event["parameters"])
        self.statuses["running"] += 1
        self.tallies[program].begin(settings)
        if begun_before:
            self._recount()

    def _epoch(self, event: Mapping[str, Any]) -> None:
        record = self.trials[event["trial"]]
        record.epochs, record.step = event["epoch"], event["step"]
        record.metrics = {name: event[name] for name in METRICS}
        record.collapsed = event["collapsed"]
        self.tallies[record.program].done += 1
        self.curves.append(event)
        score = self.score(record.trial.id, record.metrics)
        record.best = min(score, record.best or score)
        if self._leader is None:
            return
        if score <= self._leader:
            self._leader = score
        elif record.trial.id == self._leader[-1]:  # it fell back: another may lead now
            self._leader = None

    def _end(self, event: Mapping[str, Any]) -> None:
        record = self.trials[event["trial"]]
        self.statuses[record.status] -= 1
        self.statuses[event["status"]] += 1
        record.status, record.seconds = event["status"], event["seconds"]
        record.error = event.get("error", "")
        if record.status in _ENDED:
            self.tallies[record.program].end(record.trial.settings, record.epochs)
            self.ended.append(record.trial.id)
        if record.status == "completed":
            score = self.score(record.trial.id, record.metrics)
            self._best_completed = min(score, self._best_completed or score)
        elif record.status in _BAD and self._leader and self._leader[-1] == record.trial.id:
            self._leader = None

    def _restart(self, resumes: bool) -> None:
        """A new process begins; without a checkpoint, what was not finished starts from the beginning."""
        self.finished = self.peaks = None
        if resumes:  # the journal was cut back to where trials go on
            return
        self.trials = {name: r for name, r in self.trials.items() if r.status in _DONE}
        self.curves = self.curves.of(self.trials)
        for trial in self.losses.keys() - self.trials.keys():
            del self.losses[trial]
        self._recount()

    def _recount(self) -> None:
        """What is counted along, counted anew."""
        self.statuses = Counter(record.status for record in self.trials.values())
        done = (r for r in self.trials.values() if r.status == "completed")
        scores = (self.score(record.trial.id, record.metrics) for record in done)
        self._best_completed = min(scores, default=None)
        self._leader = None
        self.ended.clear()
        self.tallies.clear()
        for record in self.trials.values():
            tally, settings = self.tallies[record.program], record.trial.settings
            tally.begin(settings)
            tally.done += record.epochs
            if record.status in _ENDED:
                tally.end(settings, record.epochs)

    @property
    def done(self) -> int:
        """How many trials have ended for good."""
        return len(self.trials) - self.statuses["running"] - self.statuses["paused"]

    @property
    def rank_by(self) -> str:
        """What trials are ranked by: `valid`, or `train` where no validation split is held."""
        return "valid" if self.runs and self.runs[-1]["data"]["valid"] else "train"

    @property
    def best(self) -> TrialRecord | None:
        """The trial that ranks first, once one is measured."""
        if self._leader is None:
            fair = (r for r in self.trials.values() if r.status not in _BAD)
            scores = (self.score(record.trial.id, record.metrics) for record in fair)
            self._leader = min((s for s in scores if s[0] != _UNMEASURED), default=None)
        return self.trials[self._leader[-1]] if self._leader else None

    def ranked(self) -> list[TrialRecord]:
        """Trials, best first: by accuracy, then loss, of the split that ranks; unmeasured ones last."""

        def key(record: TrialRecord) -> tuple:
            return (record.status in _BAD, *self.score(record.trial.id, record.metrics))

        return sorted(self.trials.values(), key=key)

    def score(self, trial: str, metrics: Mapping[str, float | None]) -> Score:
        """Sorts the better trial first; the id decides between equals."""
        accuracy, loss = (metrics.get(f"{self.rank_by}_{kind}") for kind in ("accuracy", "loss"))
        worth = _UNMEASURED if accuracy is None else -1.0 * accuracy
        return worth, math.inf if loss is None else loss, trial

    def is_best_epoch(self, trial: str, metrics: Mapping[str, float | None]) -> bool:
        """Whether a trial has not done better in any epoch that is recorded."""
        record = self.trials.get(trial)
        return record is None or record.best is None or self.score(trial, metrics) < record.best

    def beats_completed(self, trial: str, metrics: Mapping[str, float | None]) -> bool:
        """Whether a trial that ends with these metrics is better than every completed one."""
        best = self._best_completed
        return best is None or self.score(trial, metrics) < best
