"""What a person wants to know of a sweep that runs, taken from its results at little cost."""

from bench.record import Results
from bench.report import stats, units
from bench.report.leaderboard import ranking_accuracy, varying


class Facts:
    """The latest facts of a running sweep. Not for history: the journal has that.

    Attributes:
        done: trials that ended.
        busy: lanes that train.
        share: of the work, from 0 to 1.
        best: the trial that ranks first and what makes it differ; empty until one is measured.
        ms: of the newest measured step; None until one is.
        elapsed: seconds since the start.
        left: seconds until the end, at the pace so far; None until an epoch ended.
    """

    def __init__(self, planned: int, start: float):
        self.planned = planned
        self.done = self.busy = 0
        self.share = self.elapsed = 0.0
        self.best = ""
        self.ms: float | None = None
        self.left: float | None = None
        self._start = start
        self._first: tuple[float, float] | None = None
        self._ranked = (0, 0)
        self._dispatches: dict[str, int] = {}

    def update(
        self, results: Results, busy: int, done_epochs: float, planned_epochs: float, now: float
    ) -> None:
        """Takes in what `Progress.refresh` was told, at `now` seconds; ranks only when it must."""
        self.busy, self.elapsed = busy, now - self._start
        self.done = sum(r.status not in ("running", "paused") for r in results.trials.values())
        self.planned = max(self.planned, len(results.trials))
        work, whole = (done_epochs, planned_epochs) if planned_epochs else (self.done, self.planned)
        self.share = min(work / whole, 1.0) if whole else 0.0
        self._pace(work, whole, now)
        self._speed(results)
        # Ranking costs: once per new epoch or ended trial is enough.
        seen = (len(results.curves), self.done)
        if seen != self._ranked:
            self._ranked, self.best = seen, _best(results)

    def _pace(self, work: float, whole: float, now: float) -> None:
        """The time left, from the work since the first look: compiling came before that."""
        if self._first is None:
            self._first = (now, work)
        since, before = self._first
        if work > before:
            self.left = max(whole - work, 0) * (now - since) / (work - before)

    def _speed(self, results: Results) -> None:
        for name, program in results.programs.items():
            if len(program.train) != self._dispatches.get(name):
                self._dispatches[name] = len(program.train)
                latest = program.train[-1:]
                if latest and latest[0]["steps"] and not latest[0]["warmup"]:
                    self.ms = 1000 * latest[0]["seconds"] / latest[0]["steps"]

    def work(self) -> str:
        """`12 of 48 trials done, 36 lanes busy`."""
        return f"{self.done:,} of {self.planned:,} trials done, {self.busy:,} lanes busy"

    def times(self) -> str:
        """`1 min 12 s elapsed, about 2 min 3 s left, 24.1 ms/step`."""
        left = "time left unknown"
        if self.left is not None:
            left = f"about {units.whole_seconds(self.left)} left"
        elapsed = units.whole_seconds(self.elapsed)
        return f"{elapsed} elapsed, {left}, {units.number(self.ms)} ms/step"


def _best(results: Results) -> str:
    """`validation accuracy 98.6 % with features=16 optimizer=adam`."""
    record = stats.best(results)
    if record is None:
        return ""
    settings = record.trial.describe(varying(results))
    return f"{ranking_accuracy(record, results)} with {settings or record.trial.id}"
