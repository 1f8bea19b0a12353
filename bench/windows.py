"""Loss against iteration: the sums of training over windows of N steps of a trial (`--curve_every`).

A trial's step 1 begins window 0, and windows run on over its epochs: where they end is a matter of the trial
alone. A dispatch tells its part of each window; parts of one window, which follow each other, are added up.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from bench.columns import Columns

SUMS = ("loss", "weight", "correct", "seen")  # weighted loss, weights, hits, examples


def parts(sums: np.ndarray, steps: np.ndarray, every: int) -> list[list[float]]:
    """What a dispatch trained of each window: its number, its last step so far, and the four sums.

    Args:
        sums: (S, 4) of each iteration, as in `SUMS`.
        steps: (S,) to which step of the trial, counted from 0, each belongs; ascending.
        every: N.
    """
    windows = steps // every
    starts = np.flatnonzero(np.diff(windows, prepend=-1))
    totals = np.add.reduceat(sums.astype(np.float64), starts)
    ends = np.append(starts[1:], len(steps)) - 1
    return [
        [window, step, *total]
        for window, step, total in zip(
            windows[starts].tolist(), (steps[ends] + 1).tolist(), totals.tolist(), strict=True
        )
    ]


class Windows(Columns):
    """The windows of one trial, a row each."""

    TYPES: ClassVar[Mapping[str, str]] = {"window": "q", "step": "q", **dict.fromkeys(SUMS, "d")}

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Takes in `parts`, those of a window that has begun too."""
        for row in rows:
            part = dict(zip(self.TYPES, row, strict=True))
            numbers = self._columns["window"]
            if not numbers or numbers[-1] != part["window"]:
                self.append(part)
                continue
            self._columns["step"][-1] = part["step"]
            for name in SUMS:
                more = part[name]
                self._columns[name][-1] += math.nan if more is None else more

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy of each window, NaN where unknown."""
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = self.column("loss") / self.column("weight")
            accuracy = self.column("correct") / self.column("seen")
        return np.where(np.isfinite(loss), loss, np.nan), accuracy
