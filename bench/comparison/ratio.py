"""Whether one side is slower than another: the stated test."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtri, stdtrit

from bench.comparison.cost import Cost

CONFIDENCE = 0.95
MARGIN = 0.02  # below it a difference is of no use to anybody
RESOLVED = 0.10  # an interval that reaches farther than this says too little
# A run cannot tell how much runs differ from each other as wholes. It is taken to be as much as its own
# quarters do, whose standard error is twice that of the whole.
_AS_A_WHOLE = 2.0
_ENDLESS = 700.0  # of a logarithm: more than a float holds

SLOWER, FASTER, SAME = "slower", "faster", "no difference"
NOISY, FEW = "too noisy to tell", "too few to tell"
CHANGED = "the machine changed"  # by as much, or more


@dataclass(frozen=True)
class Estimate:
    """The logarithm of one side's time, in Q readings.

    Attributes:
        at: (Q,) the estimate.
        below, above: (Q,) its standard errors to either side.
        freedom: degrees of freedom of Student's t; 0 where the errors are unknown.
    """

    at: np.ndarray
    below: np.ndarray
    above: np.ndarray
    freedom: float

    @classmethod
    def of(cls, costs: Sequence[Cost]) -> Self:
        """Of the one run of a side; or of several that repeat it, each of which then counts as one sample."""
        if len(costs) == 1:
            [cost] = costs
            low, high = np.quantile(cost.drawn, (1 - _TAIL, _TAIL), axis=1)
            scale = _AS_A_WHOLE / ndtri(_TAIL)
            below, above = np.maximum(0, [scale * (cost.at - low), scale * (high - cost.at)])
            return cls(cost.at, below, above, cost.freedom)
        at = np.array([cost.at for cost in costs])
        error = at.std(0, ddof=1) / math.sqrt(len(at))
        return cls(at.mean(0), error, error, len(at) - 1)


_TAIL = (1 + CONFIDENCE) / 2


@dataclass(frozen=True)
class Ratio:
    """The logarithm of the second side's time over the first's.

    Attributes:
        at, below, above, freedom: as of an `Estimate`.
        machine: the logarithm by which the machine itself was slower when the second side ran.
    """

    at: np.ndarray
    below: np.ndarray
    above: np.ndarray
    freedom: float
    machine: float = 0.0

    @classmethod
    def of(cls, first: Estimate, second: Estimate, machine: float = 0.0) -> Self:
        """Welch's: the sides scatter each in its own way."""
        below = np.hypot(second.below, first.above)
        above = np.hypot(second.above, first.below)
        return cls(second.at - first.at, below, above, _freedom(first, second), machine)

    @property
    def value(self) -> float:
        """The ratio of the medians."""
        return math.exp(self.at[0])

    @property
    def fastest(self) -> float:
        """The ratio of the fastest tenths."""
        return math.exp(self.at[1])

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Holds the ratio in every reading, of the medians and of the fastest tenths; None if unknown."""
        if not self.freedom:
            return None
        t = stdtrit(self.freedom, (1 + confidence) / 2)
        low, high = np.min(self.at - t * self.below), np.max(self.at + t * self.above)
        return math.exp(max(low, -_ENDLESS)), math.exp(min(high, _ENDLESS))

    def verdict(self, margin: float = MARGIN, confidence: float = CONFIDENCE) -> str:
        """Slower or faster where the whole interval lies beyond the margin.

        The null hypothesis is that both take the same time to within the margin. Where the machine itself
        was slower or faster, what it explains is no finding. "No difference" is said where the interval shows
        that there is none of over `RESOLVED`.
        """
        found = self.interval(confidence)
        if found is None:
            return FEW
        low, high = found
        if low > 1 + margin:
            return SLOWER if low > (1 + margin) * math.exp(self.machine) else CHANGED
        if high < 1 / (1 + margin):
            return FASTER if high * (1 + margin) < math.exp(self.machine) else CHANGED
        return SAME if high < 1 + RESOLVED and low > 1 / (1 + RESOLVED) else NOISY


def _freedom(first: Estimate, second: Estimate) -> float:
    """Welch and Satterthwaite's degrees of freedom; 0 if either side's are unknown."""
    if not first.freedom or not second.freedom:
        return 0.0
    one, other = (float(np.mean(e.below + e.above)) ** 2 for e in (first, second))
    if not one + other:
        return min(first.freedom, second.freedom)
    return (one + other) ** 2 / (one**2 / first.freedom + other**2 / second.freedom)
