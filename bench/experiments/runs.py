"""Run directories of the logs' configs, and the trials in them that a question is about."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import ConfigError
from bench.record import Results, TrialRecord
from bench.report import stats

_SHOWN = ("config", "axis", "keep", "curve_every")  # flags that say what is trained, not where


@dataclass(frozen=True)
class Trained:
    """A trial as it was after some epoch.

    Attributes:
        settings: its hyperparameters.
        metrics: of `columns.METRICS`; None where not finite.
        rank: sorts the better trial last, by the split that ranks.
        collapsed: it answered with one class throughout, at its end.
    """

    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    rank: tuple[float, float]
    collapsed: bool

    @property
    def accuracy(self) -> Any:
        """On test examples; None where it was not measured."""
        return self.metrics.get("test_accuracy")


@dataclass(frozen=True)
class Run:
    """A run directory of one of the logs' configs.

    Attributes:
        path: where it is.
        config: its --config without the folder, `traffic.py:taper`.
        results: all that it recorded.
    """

    path: Path
    config: str
    results: Results

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Raises ConfigError for a run that does not tell its config; see also `Results.read`."""
        results = Results.read(path)
        flags = stats.newest_run(results).get("command") or ()
        for flag in flags:
            name, _, value = str(flag).lstrip("-").partition("=")
            if name == "config":
                return cls(path, Path(value).name, results)
        raise ConfigError(f"{path} does not tell its --config: train it by python -m bench.main")

    @property
    def command(self) -> str:
        """What trains it, without where the data and the run lie."""
        flags = stats.newest_run(self.results)["command"]
        shown = [f for f in flags if f.lstrip("-").partition("=")[0].partition(".")[0] in _SHOWN]
        return f"python -m bench.main {shlex.join(shown)} --data_dir=DATA"

    @property
    def test_examples(self) -> int:
        return int(stats.newest_run(self.results)["data"]["test"])

    def trained(self, epoch: int | None = None) -> list[Trained]:
        """Its trials after `epoch`, those that got so far; by default after their last."""
        records = self.results.trials
        if epoch is None:
            return [self._of(record, record.metrics) for record in records.values()]
        return [
            self._of(records[row["trial"]], row)
            for row in self.results.curves
            if row["epoch"] == epoch and row["trial"] in records
        ]

    def _of(self, record: TrialRecord, metrics: Mapping[str, Any]) -> Trained:
        worth, loss, _ = self.results.score(record.trial.id, metrics)
        return Trained(record.trial.settings, metrics, (-worth, -loss), record.collapsed)


@dataclass(frozen=True)
class Side:
    """Trials of a part: all, or those with some settings.

    Attributes:
        config: of the run, `traffic.py:taper`.
        settings: name → value that they have.
    """

    config: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def trained(self, runs: Mapping[str, Run], epoch: int | None = None) -> list[Trained]:
        """Those that are there; none where nobody has trained the part."""
        run = runs.get(self.config)
        return [
            trial
            for trial in (run.trained(epoch) if run else ())
            if all(trial.settings.get(name) == value for name, value in self.settings.items())
        ]
