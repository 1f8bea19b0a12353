"""Times and their summaries: the one place that says how they are taken.

    watch = Stopwatch()
    with watch("input"):
        ...
    watch.take("input")  # seconds

    samples = interleaved({"a": a, "b": b}, rounds=5, block=jax.block_until_ready)
    Spread.of(samples["a"]), faster(samples["b"], samples["a"])

A sample is never dropped for being long. Every clock is an argument, so that tests need not wait.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

Clock = Callable[[], float]  # seconds, monotonic


@dataclass(frozen=True)
class Spread:
    """The middle of `n` measurements and where nine tenths of them lie; None where there are none."""

    median: float | None
    p5: float | None
    p95: float | None
    n: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        if not len(values):
            return cls(None, None, None, 0)
        p5, p50, p95 = (float(p) for p in np.percentile(values, (5, 50, 95)))
        return cls(p50, p5, p95, len(values))


class Stopwatch:
    """Seconds by phase. A phase inside another stops the outer one: no second counts twice.

    For one thread.

    Args:
        clock: what it reads.
    """

    def __init__(self, clock: Clock = time.perf_counter):
        self.clock = clock
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Counts the seconds of a `with` block, one that raises too."""
        self._book()
        self._open.append(phase)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def _book(self) -> None:
        now = self.clock()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now

    def take(self, phase: str) -> float:
        """The seconds of a phase since they were last taken."""
        return self._seconds.pop(phase, 0.0)


def interleaved(
    candidates: Mapping[str, Callable[[], Any]],
    rounds: int,
    budget_s: float = math.inf,
    clock: Clock = time.perf_counter,
    block: Callable[[Any], Any] = lambda result: result,
) -> dict[str, np.ndarray]:
    """Times calls in turn, so that a busy moment falls on all of them and their ratios stand.

    Every candidate is called once uncounted. In each round each is called once more, in an order that
    moves on by one place a round.

    Args:
        candidates: what to call, by name.
        rounds: at most so many.
        budget_s: none begins that would, if as long as the longest before it, end later than this. The
            first begins unless the uncounted calls have taken longer.
        clock: what is read.
        block: waits for what a call returns, such as `jax.block_until_ready`.

    Returns:
        Name → (rounds,) seconds. Numbers at the same place are of the same round.
    """
    start, names, longest_s = clock(), list(candidates), 0.0
    for call in candidates.values():
        block(call())
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        began = clock()
        if began - start + longest_s > budget_s:
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            before = clock()
            block(candidates[name]())
            samples[name].append(clock() - before)
        longest_s = max(longest_s, clock() - began)
    return {name: np.array(seconds) for name, seconds in samples.items()}


@dataclass(frozen=True)
class Ratio:
    """A ratio over `n` rounds: its median, least and greatest; None where there are none."""

    median: float | None
    least: float | None
    greatest: float | None
    n: int


def faster(candidate: Iterable[float], baseline: Iterable[float]) -> Ratio:
    """How many times faster the candidate is, round by round.

    Args:
        candidate: (rounds,) seconds, from `interleaved`.
        baseline: the same of what it is held against, from the same call.

    Raises:
        ValueError: they are not of the same rounds.
    """
    ratios = [b / c for c, b in zip(candidate, baseline, strict=True)]
    if not ratios:
        return Ratio(None, None, None, 0)
    return Ratio(float(np.median(ratios)), float(min(ratios)), float(max(ratios)), len(ratios))
