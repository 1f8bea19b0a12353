"""How much each axis of a sweep matters, by permutation importance over a random forest."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.charts.fields import Field, Row, numeric
from bench.report.charts.spec import sample

LEAST, _MOST = 20, 1000  # trials: with fewer a forest knows nothing, with more it knows no better
_TREES, _REPEATS = 60, 5
METHOD = (
    f"Importance: a random forest of {_TREES} regression trees predicts the accuracy from the axes; what "
    "counts is the loss of R² when one axis is shuffled among the trials that the forest was fitted to, the "
    f"mean of {_REPEATS} shuffles (Breiman 2001; scikit-learn's permutation_importance, seed 0). Axes that "
    "go together share what they explain."
)


@dataclass(frozen=True)
class Importance:
    """What a forest found.

    Attributes:
        of: axis → mean loss of R², the most important first.
        r2: of its predictions of trials that a tree has not seen; near or below 0 nothing was learned.
        trials: that it was fitted to.
    """

    of: Mapping[str, float]
    r2: float
    trials: int


def importance(rows: Sequence[Row], axes: Sequence[Field], target: Field) -> Importance | None:
    """The importance of each axis for `target`; None with fewer than `LEAST` trials, or nothing to explain.

    Args:
        rows: settings and the target's value, a row a trial.
        axes: that vary.
        target: what is to be explained.
    """
    if len(rows) < LEAST or not axes:
        return None
    rows = [rows[number] for number in sample(len(rows), _MOST)]
    values = np.array([row[target.key] for row in rows], np.float64)
    if not np.ptp(values):
        return None
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    settings = np.column_stack([_numbers(axis, rows) for axis in axes])
    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, oob_score=True, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # a trial that every tree has seen has no say
        forest.fit(settings, values)
    found = permutation_importance(forest, settings, values, n_repeats=_REPEATS, random_state=0)
    means = sorted(zip(found.importances_mean, axes, strict=True), key=lambda pair: -pair[0])
    return Importance(
        {axis.key: float(mean) for mean, axis in means}, float(forest.oob_score_), len(rows)
    )


def _numbers(axis: Field, rows: Sequence[Row]) -> np.ndarray:
    """A column for a tree, to which only the order matters; what is inactive comes first."""
    values = axis.of(rows)
    known = {value for value in values if value is not None}
    order = sorted(known) if numeric(values) else sorted(known, key=str)
    places = {value: place for place, value in enumerate(order)}
    return np.array([places.get(value, -1) for value in values], np.float64)
