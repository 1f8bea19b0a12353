"""Ordinary least squares of test accuracy on the logarithms of numeric axes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bench.record import TrialRecord


@dataclass(frozen=True)
class Regression:
    """A fit.

    Attributes:
        slopes: axis → accuracy a doubling, and half of its 95 % interval by Student's t.
        r_squared: the share of the accuracies' variance that the fit explains.
    """

    slopes: Mapping[str, tuple[float, float]]
    r_squared: float

    @classmethod
    def of(cls, records: Sequence[TrialRecord], axes: Sequence[str]) -> "Regression | None":
        """Of completed trials that did not collapse, on those axes that are numbers above zero.

        None where there is no such axis, or fewer than two trials a coefficient.
        """
        fair = [r for r in records if not r.collapsed and r.status == "completed"]
        settings = [r.trial.settings for r in fair]
        numeric = [a for a in axes if _is_scale([s.get(a) for s in settings])]
        n, k = len(fair), 1 + len(numeric)
        if not numeric or n < 2 * k:
            return None
        x = np.array([[1.0, *(math.log2(s[axis]) for axis in numeric)] for s in settings])
        y = np.array([r.metrics["test_accuracy"] for r in fair])
        found, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
        variation = ((y - y.mean()) ** 2).sum()
        if rank < k or not variation:
            return None
        left = ((y - x @ found) ** 2).sum()
        deviations = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * left / (n - k))
        half = stats.t.ppf(0.975, n - k) * deviations
        slopes = {
            a: (float(s), float(h)) for a, s, h in zip(numeric, found[1:], half[1:], strict=True)
        }
        return cls(slopes, float(1 - left / variation))

    def points_a_doubling(self, axis: str) -> str:
        """`+0.84 ± 0.12`, in points of 100; a dash for an axis that is not in the fit."""
        if axis not in self.slopes:
            return "–"
        slope, half = self.slopes[axis]
        return f"{100 * slope:+.2f} ± {100 * half:.2f}"


def _is_scale(values: Sequence[Any]) -> bool:
    return len(set(values)) > 1 and all(is_number(value) and value > 0 for value in values)


def is_number(value: Any) -> bool:
    """Whether a setting is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
