"""Work that two sides have in common, and what a step of it costs on each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.comparison.ratio import Ratio
from bench.comparison.run import Key, Unit
from bench.comparison.side import Side


@dataclass(frozen=True)
class Row:
    """Work that two sides have in common.

    Attributes:
        keys: of the work.
        units: side → run → those that do it.
        step_s: side → seconds of one of its steps for one trial, at the median dispatch.
        ratio: the second side's over the first's.
    """

    keys: frozenset[Key]
    units: tuple[tuple[tuple[Unit, ...], ...], ...]
    step_s: tuple[float, float]
    ratio: Ratio

    @property
    def name(self) -> str:
        """Of its units, as each side's first run has them."""
        told = (", ".join(unit.name for unit in side[0]) for side in self.units)
        return " / ".join(dict.fromkeys(told))

    def figure(self, side: int, name: str) -> float | None:
        """What else was measured of it, the mean over the side's runs; None where one does not tell."""
        found = [_figure(units, name) for units in self.units[side]]
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if len(known) == len(found) else None

    def differs(self) -> list[tuple[str, Any, Any]]:
        """What was chosen otherwise: a name, and each side's choice."""
        one, other = (_choices(side[0]) for side in self.units)
        return [(name, one[name], other[name]) for name in one if one[name] != other.get(name)]


@dataclass(frozen=True)
class Joined:
    """Two sides, and what they have in common.

    Attributes:
        rows: of work that is done by itself on both sides.
        whole: all of them: of a sweep one row, of a benchmark one of training and one of evaluation, by name.
    """

    first: Side
    second: Side
    rows: tuple[Row, ...]
    whole: dict[str, Row]

    @property
    def tested(self) -> list[tuple[str, Row]]:
        """Every row of which it is asked whether it is slower, by name."""
        return [*self.whole.items(), *((row.name, row) for row in self.rows)]


_OF_SEVERAL: dict[str, Callable[[list[float]], float]] = {"compile": sum, "memory": max}


def _figure(units: Sequence[Unit], name: str) -> float | None:
    """Of several programs seconds are added up and memory is the most; what has no sum is unknown."""
    found = [unit.figures[name] for unit in units]
    known = [value for value in found if value is not None]
    if len(known) < len(found) or (len(found) != 1 and name not in _OF_SEVERAL):
        return None
    return known[0] if len(known) == 1 else _OF_SEVERAL[name](known)


def _choices(units: Sequence[Unit]) -> dict[str, Any]:
    """What was chosen, by name; of several programs all that was."""
    found: dict[str, Any] = {}
    for unit in units:
        for name, value in unit.how.items():
            if isinstance(value, str):
                found.setdefault(name, set()).add(value)
            else:
                found.setdefault(name, {}).update(value)
    return found
