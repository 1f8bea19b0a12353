"""What each axis of a grid does to test accuracy, loss and milliseconds a step."""

from collections.abc import Iterable, Iterator
from statistics import fmean, median
from typing import Any

from bench.experiments.regression import Regression, is_number
from bench.experiments.runs import Run
from bench.record import TrialRecord
from bench.report import units
from bench.report.leaderboard import varying
from bench.report.speed import timings
from bench.report.table import Column, Table

_LEAST_TRIALS = 12
_NOTE = (
    "Means of test accuracy and loss over the other axes, the median of milliseconds a step and trial. "
    "Points a doubling: a linear regression of accuracy on the logarithms of all numeric axes at once, with "
    "95 % intervals; without trials that collapsed."
)


def effects(run: Run) -> Table:
    """A row a value of each axis; no rows where too few trials or axes are there.

    The last column is the slope of `Regression`.
    """
    records = [r for r in run.results.trials.values() if r.metrics.get("test_accuracy") is not None]
    axes = [axis for axis in varying(run.results) if axis != "seed"]
    columns = (
        *map(Column, ("axis", "value")),
        *(Column(name, right=True) for name in ("trials", "accuracy", "loss", "ms/step/trial")),
        Column("points a doubling", right=True),
    )
    if len(records) < _LEAST_TRIALS or len(axes) < 2:  # of one axis, the models themselves are told
        return Table("Effects", columns, ())
    fit = Regression.of(records, axes)
    rows = tuple(row for axis in axes for row in _rows(run, records, axis, fit))
    note = f"{_NOTE} R² of the regression: {fit.r_squared:.2f}." if fit else _NOTE
    return Table("Effects", columns, rows, note)


def _rows(
    run: Run, records: list[TrialRecord], axis: str, fit: Regression | None
) -> Iterator[tuple[str, ...]]:
    speed = _step_ms(run)
    slope = fit.points_a_doubling(axis) if fit else "–"
    first = axis
    for value in _values(records, axis):
        found = [r for r in records if r.trial.settings.get(axis) == value]
        losses = [loss for r in found if (loss := r.metrics["test_loss"]) is not None]
        steps = [step for r in found if (step := speed.get(r.trial.id)) is not None]
        yield (
            first,
            units.setting(value),
            units.count(len(found)),
            units.percent(fmean(_accuracy(r) for r in found), run.test_examples),
            f"{fmean(losses):.4g}" if losses else units.UNKNOWN,
            units.number(median(steps) if steps else None),
            slope,
        )
        first = slope = ""  # an axis is named once


def _accuracy(record: TrialRecord) -> float:
    return float(record.metrics["test_accuracy"] or 0.0)


def _values(records: Iterable[TrialRecord], axis: str) -> list[Any]:
    values = list(dict.fromkeys(r.trial.settings.get(axis) for r in records))
    return sorted(values, key=lambda v: (0, v, "") if is_number(v) else (1, 0, str(v)))


def _step_ms(run: Run) -> dict[str, float | None]:
    """Trial → milliseconds of its own step, its program's divided among the busy lanes."""
    speed = {t.program: t.ms_per_step_per_trial for t in timings(run.results)}
    return {
        name: speed[record.program].get(record.trial.settings["batch_size"])
        for name, record in run.results.trials.items()
        if record.program in speed
    }
