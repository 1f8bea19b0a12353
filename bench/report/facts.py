"""What a person wants to know of a sweep that runs, taken from its results at little cost."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.record import Results
from bench.report import units
from bench.report.leaderboard import ranking_accuracy, varying
from bench.report.speed import iterations_of_step

_RECENT = 3  # trials that ended last


class ProgramFacts(NamedTuple):
    """How far a program is: trials ended of those planned, the `share` of their epochs, ms/step in words."""

    program: str
    done: int
    trials: int
    share: float
    speed: str


class Facts:
    """The latest facts of a running sweep. Not for history: the journal has that.

    Attributes:
        done: trials that ended.
        busy: lanes that train.
        share: of the work, from 0 to 1.
        best: the trial that ranks first and what makes it differ; empty until one is measured.
        speed: milliseconds of the newest measured step.
        elapsed: seconds since the start.
        left: seconds until the end, at the pace so far; None until an epoch ended.
        programs: those that trained and are not done, then the others.
        recent: the trials that ended last, the newest first.
    """

    def __init__(self, planned: int, start: float):
        self.planned = planned
        self.done = self.busy = 0
        self.share = self.elapsed = 0.0
        self.best = ""
        self.speed = f"{units.UNKNOWN} ms/step"
        self.left: float | None = None
        self.programs: tuple[ProgramFacts, ...] = ()
        self.recent: tuple[str, ...] = ()
        self._start = start
        self._first: tuple[float, float] | None = None
        self._seen = (0, 0)
        self._dispatches: dict[str, int] = {}
        self._speeds: dict[str, str] = {}

    def update(self, results: Results, busy: int, done: float, planned: float, now: float) -> None:
        """Takes in what `Progress.refresh` was told, at `now` seconds; never ranks all trials."""
        self.busy, self.elapsed = busy, now - self._start
        self.done = results.done
        self.planned = max(self.planned, len(results.trials))
        work, whole = (done, planned) if planned else (self.done, self.planned)
        self.share = min(work / whole, 1.0) if whole else 0.0
        self._pace(work, whole, now)
        self._speed(results)
        seen = (len(results.curves), self.done)
        if seen != self._seen:  # else nothing can have changed
            self._seen, self.best = seen, _best(results)
            self.recent = tuple(ended(results, name) for name in results.ended[: -1 - _RECENT : -1])
        self._programs(results)

    def _pace(self, work: float, whole: float, now: float) -> None:
        """The time left, from the work since the first look: compiling came before that."""
        if self._first is None:
            self._first = (now, work)
        since, before = self._first
        if work > before:
            self.left = max(whole - work, 0) * (now - since) / (work - before)

    def _speed(self, results: Results) -> None:
        for name, program in results.programs.items():
            if len(program.train) != self._dispatches.get(name, 0):
                self._dispatches[name] = len(program.train)
                latest = program.train[-1]
                if latest["iterations"] and not latest["warmup"]:
                    self.speed = self._speeds[name] = _speed(program.plan, latest)

    def _programs(self, results: Results) -> None:
        found = []
        for name, program in results.programs.items():
            tally = results.tallies[name]
            trials = max(len(program.plan["trials"]), tally.begun)
            speed = self._speeds.get(name, f"{units.UNKNOWN} ms/step")
            found.append(ProgramFacts(name, tally.ended, trials, tally.share(trials), speed))
        self.programs = tuple(sorted(found, key=lambda p: (p.done == p.trials, not p.share)))

    def work(self) -> str:
        """`12 of 48 trials done, 36 lanes busy`."""
        return f"{self.done:,} of {self.planned:,} trials done, {self.busy:,} lanes busy"

    def times(self) -> str:
        """`1 min 12 s elapsed, about 2 min 3 s left, 24.1 ms/step`."""
        left = "time left unknown"
        if self.left is not None:
            left = f"about {units.whole_seconds(self.left)} left"
        elapsed = units.whole_seconds(self.elapsed)
        return f"{elapsed} elapsed, {left}, {self.speed}"


def _speed(plan: Mapping[str, Any], dispatch: Mapping[str, Any]) -> str:
    """`24.1 ms/step`; of the smallest batch where a program has several."""
    smallest, *more = plan["batch_sizes"]
    iterations = iterations_of_step(smallest, plan["microbatch"])
    ms = units.number(1000 * iterations * dispatch["seconds"] / dispatch["iterations"])
    return f"{ms} ms/step{f' at batch size {smallest}' if more else ''}"


def ended(results: Results, trial: str) -> str:
    """`e14f1f99fc00 completed: validation accuracy 98.6 % with features=16`."""
    record = results.trials[trial]
    told = record.error or ranking_accuracy(record, results)
    settings = record.trial.describe(varying(results))
    return f"{trial} {record.status}: {told}{f' with {settings}' if settings else ''}"


def _best(results: Results) -> str:
    """`validation accuracy 98.6 % with features=16 optimizer=adam`."""
    record = results.best
    if record is None:
        return ""
    settings = record.trial.describe(varying(results))
    return f"{ranking_accuracy(record, results)} with {settings or record.trial.id}"
