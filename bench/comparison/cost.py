"""What a step costs in one run, as the run's own dispatches tell it, and how uncertain that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

LEAST = 10  # samples, below which nobody can say how they scatter
# The middle, and the fastest tenth, which other work on the machine is the last to reach.
READINGS = (0.5, 0.1)
_DRAWS = 1000
_MOST = 4096  # samples that are resampled; of more every second, third, …


@dataclass(frozen=True)
class Cost:
    """The logarithm of a time, in Q readings (`READINGS`).

    Attributes:
        at: (Q,) as measured.
        drawn: (Q, D) in D draws of the block bootstrap.
        freedom: blocks that a draw is made of, less one; 0 where there are too few samples.
    """

    at: np.ndarray
    drawn: np.ndarray
    freedom: float

    @classmethod
    def of(cls, seconds: np.ndarray) -> Self:
        """Quantiles of (n,) samples in the order in which they were taken."""
        few = seconds[:: math.ceil(len(seconds) / _MOST)]
        index, freedom = _resampled(len(few))
        drawn = np.quantile(few[index], READINGS, axis=0)
        return cls(np.log(np.quantile(seconds, READINGS)), np.log(drawn), freedom)

    @classmethod
    def mean(cls, logs: np.ndarray) -> Self:
        """The mean of (n, Q) logarithms, in the order in which they were measured."""
        index, freedom = _resampled(len(logs))
        return cls(logs.mean(0), logs[index].mean(0).T, freedom)

    @classmethod
    def single(cls, seconds: float) -> Self:
        """Of one measurement, of which nobody knows how it scatters."""
        at = np.full(len(READINGS), math.log(seconds))
        return cls(at, at[:, None], 0.0)

    @classmethod
    def total(cls, costs: Sequence["Cost"], weights: Sequence[float]) -> Self:
        """So much of each, added up. All are of one run, and so are their draws: bursts meet all of them."""
        with np.errstate(divide="ignore"):  # some weigh nothing
            shares = np.log(weights)
        pairs = list(zip(costs, shares, strict=True))
        at = np.logaddexp.reduce([cost.at + share for cost, share in pairs])
        drawn = np.logaddexp.reduce([cost.drawn + share for cost, share in pairs])
        return cls(at, drawn, min(cost.freedom for cost in costs))


def _resampled(n: int) -> tuple[np.ndarray, float]:
    """(n, D) places of n samples, in D draws of a circular block bootstrap (Politis and Romano 1992).

    Blocks of √n keep what is alike about neighbours. The draws are the same at every call, so that the same
    stretches are drawn of all programs that took turns.
    """
    length = max(1, round(math.sqrt(n)))
    count = math.ceil(n / length)
    begin = np.random.default_rng(0).random((count, 1, _DRAWS)) * n
    index = (begin.astype(int) + np.arange(length)[:, None]) % n
    return index.reshape(-1, _DRAWS)[:n], n / length - 1 if n >= LEAST else 0.0
