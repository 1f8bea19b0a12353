"""Pictures of a part's run: as data of a log, and from a run to a specification."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bench.best import Trained as Weights
from bench.experiments.runs import Run
from bench.record import RecordError
from bench.report import stats, units
from bench.report.charts import Field, Spec, heat_map, lines, pictures, scatter_with_regression

ACCURACY = Field("test_accuracy", "test accuracy", percent=True)


class Picture(Protocol):
    """Something to see in the run of `config`."""

    @property
    def config(self) -> str: ...

    @property
    def caption(self) -> str: ...

    def spec(self, run: Run) -> Spec | None:
        """None, where the run does not hold what it shows."""
        ...


@dataclass(frozen=True)
class HeatMap:
    """The mean test accuracy at each pair of values of two axes, over all others."""

    config: str
    x: str
    y: str

    @property
    def caption(self) -> str:
        return f"test accuracy by {_words(self.x)} and {_words(self.y)}, the mean over all else"

    def spec(self, run: Run) -> Spec | None:
        return heat_map(_rows(run), Field(self.x), Field(self.y), ACCURACY)


@dataclass(frozen=True)
class Regression:
    """Test accuracy against a number, with a straight line through all trials that did not collapse."""

    config: str
    x: str
    log: bool = False

    @property
    def caption(self) -> str:
        return f"test accuracy against {_words(self.x)}, without trials that collapsed"

    def spec(self, run: Run) -> Spec | None:
        rows = [row for row in _rows(run) if not row["collapsed"]]
        return scatter_with_regression(rows, Field(self.x, log=self.log), ACCURACY)


@dataclass(frozen=True)
class Curves:
    """A loss by epoch, on training and test pictures: the mean over seeds, for each value of an axis."""

    config: str
    axis: str

    @property
    def caption(self) -> str:
        return f"loss by epoch and {_words(self.axis)}, the mean over all else"

    def spec(self, run: Run) -> Spec | None:
        """Lines by epoch; epochs that a trial has not reached are left out of the mean."""
        found: dict[tuple[Any, int, str], list[float]] = {}
        for epoch in range(1, max((r.epochs for r in run.results.trials.values()), default=0) + 1):
            for trial in run.trained(epoch):
                for part in ("train", "test"):
                    loss = trial.metrics[f"{part}_loss"]
                    place = (trial.settings.get(self.axis), epoch, part)
                    found.setdefault(place, []).append(math.nan if loss is None else loss)
        rows = [
            {self.axis: value, "epoch": epoch, "part": part, "loss": sum(all_) / len(all_)}
            for (value, epoch, part), all_ in found.items()
        ]
        return lines(rows, Field("epoch"), Field("loss", log=True), self.axis, dash="part")


@dataclass(frozen=True)
class Iterations:
    """Training loss by step for each value of an axis, of trials with some settings (`--curve_every`)."""

    config: str
    axis: str
    settings: Mapping[str, Any]

    @property
    def caption(self) -> str:
        fixed = ", ".join(f"{_words(k)} {units.setting(v)}" for k, v in self.settings.items())
        return f"training loss by step and {_words(self.axis)}; {fixed}"

    def spec(self, run: Run) -> Spec | None:
        """Lines by step, of windows' means; None where no such trial recorded its losses."""
        rows = []
        for name, windows in run.results.losses.items():
            settings = run.results.trials[name].trial.settings
            if any(settings.get(k) != v for k, v in self.settings.items()):
                continue
            steps, (losses, _) = windows.column("step").tolist(), windows.means()
            rows += [
                {self.axis: settings.get(self.axis), "step": step, "loss": loss}
                for step, loss in zip(steps, losses.tolist(), strict=True)
            ]
        rows.sort(key=lambda row: (row[self.axis], row["step"]))
        return lines(rows, Field("step"), Field("loss", log=True), self.axis) if rows else None


@dataclass(frozen=True)
class ClassWeights:
    """What a net of one dense layer has learned of each class: the weights, as pictures."""

    config: str

    @property
    def caption(self) -> str:
        return "the weights of each class of the best trial, bright where ink speaks for it"

    def spec(self, run: Run) -> Spec | None:
        try:
            best = Weights.read(run.path)
        except RecordError:
            return None
        kernels = [w for path, w in best.weights.items() if path.endswith("kernel")]
        shape = (best.preprocessing.height, best.preprocessing.width)
        if len(kernels) != 1 or kernels[0].shape != (math.prod(shape), len(best.classes)):
            return None
        arrays = [np.asarray(column).reshape(shape) for column in kernels[0].T]
        return pictures(arrays, best.classes, signed=True)


def _rows(run: Run) -> list[dict[str, Any]]:
    """A row a trial: its settings and its figures at its end."""
    axes = stats.newest_run(run.results).get("axes", ())
    return [
        {
            **{axis: _alone(record.trial.settings.get(axis)) for axis in axes},
            **record.metrics,
            "parameters": record.parameters,
            "collapsed": record.collapsed,
        }
        for record in run.results.trials.values()
        if record.metrics.get("test_accuracy") is not None
    ]


def _alone(value: Any) -> Any:
    """A number that stands for itself, of which `hidden=(80,)` makes a list."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _words(name: str) -> str:
    return name.replace("_", " ")
