"""A run directory, as far as it can be compared: what was done, under what conditions, how quickly."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.comparison.cost import Cost

Key = Hashable  # of what costs the same for the same reason: see `sweep.py` and `benchmark.py`
_SHORTEST_S, _LONGEST_S = 1e-12, 1e9


@dataclass(frozen=True)
class Work:
    """All that a run does of one key.

    Attributes:
        trials: how many.
        epochs: of all of them together.
        steps: updates in one of these.
    """

    trials: int
    epochs: float
    steps: float


@dataclass(frozen=True)
class Unit:
    """What a series of dispatches is of: a program of a sweep; a point of the hardware benchmark.

    Attributes:
        seconds: (n,) of an iteration of one lane, of each dispatch but the warm-up.
        iterations: of a lane in an epoch.
        shares: key → the share of the run's trials of that key that it trains.
        how: what was chosen of it, by name: text, or a text for each site.
        figures: what else was measured of it; None is unknown.
    """

    name: str
    seconds: np.ndarray
    iterations: float
    shares: Mapping[Key, float]
    how: Mapping[str, str | Mapping[str, str]]
    figures: Mapping[str, float | None]

    @cached_property
    def cost(self) -> Cost:
        return Cost.of(self.seconds)


@dataclass(frozen=True)
class Run:
    """What was recorded of one run.

    Attributes:
        sweep: whether it is one; else it is a hardware benchmark.
        conditions: name → text, of all that can change a time.
        pictures: their shape, None where an old journal does not tell; and the data's fingerprint.
        bytes_per_s: what memory gave when it was measured in the same process.
        units: those of which a dispatch was timed.
        untimed: names of the others.
        work: by key.
        seconds: of the whole run, by phase.
        trials: each one's settings and how far it came; where these agree, the seconds are of the same work.
    """

    path: Path
    sweep: bool
    started: str | None
    ended: str | None
    conditions: Mapping[str, str]
    pictures: tuple[Any, Any]
    bytes_per_s: float | None
    units: tuple[Unit, ...]
    untimed: tuple[str, ...]
    work: Mapping[Key, Work]
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    trials: Counter[str] | None = None

    @property
    def keys(self) -> set[Key]:
        """Of what all was timed: of nothing whose other half is in a program that has not run yet."""
        shares: defaultdict[Key, float] = defaultdict(float)
        for unit in self.units:
            for key, share in unit.shares.items():
                shares[key] += share
        return {key for key, share in shares.items() if share > 1 - 1e-9}


def samples(seconds: Iterable[float]) -> np.ndarray:
    """Times as an array.

    Raises:
        ValueError: one that no clock has shown.
    """
    found = np.array(seconds, float)
    if not np.all((found > _SHORTEST_S) & (found < _LONGEST_S)):
        raise ValueError("a dispatch of no time, or of decades")
    return found


def positive(value: Any) -> float:
    """An amount as a number.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{value!r:.40} is no amount")
    return float(value)


def measured(value: Any) -> float | None:
    """The same of what may be unknown: None, or a sum of nothing."""
    return None if value is None or value == 0 else positive(value)


def texts(*tables: Any) -> dict[str, str]:
    """What a journal says of hardware and software, as text by name; None is left to be unknown."""
    found = {}
    for table in tables:
        for name, value in (table or {}).items():
            if value is not None:
                found[str(name)] = value if isinstance(value, str) else json.dumps(value)
    return {name: value or "none" for name, value in found.items()}


def shared(trials: Iterable[tuple[Key, str]]) -> dict[str, dict[Key, float]]:
    """Unit → key → the share of all trials of that key that it has, of pairs of a trial's key and unit."""
    pairs = Counter(trials)
    whole: Counter[Key] = Counter()
    for (key, _), count in pairs.items():
        whole[key] += count
    found: defaultdict[str, dict[Key, float]] = defaultdict(dict)
    for (key, unit), count in pairs.items():
        found[unit][key] = count / whole[key]
    return found
