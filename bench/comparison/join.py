"""Which work two sides have in common, and what a step of it costs on each."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.comparison.benchmark import TOLD
from bench.comparison.cost import Cost
from bench.comparison.ratio import Estimate, Ratio
from bench.comparison.run import Key, Run, Unit
from bench.comparison.side import Side, alike, machine
from bench.errors import ConfigError


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

    def names(self, side: int) -> str:
        """Of the units, as the side's first run has them."""
        return ", ".join(unit.name for unit in self.units[side][0])

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
    def tested(self) -> list[Row]:
        """Every row of which a slowdown is asked."""
        return [*self.whole.values(), *self.rows]


def join(first: Side, second: Side) -> Joined:
    """What two sides have in common.

    Raises:
        ConfigError: nothing, or they are of two kinds.
    """
    one, other = first.first, second.first
    if one.sweep != other.sweep:
        sweep, benchmark = (one, other) if one.sweep else (other, one)
        raise ConfigError(
            f"{sweep.path} is a sweep, {benchmark.path} a hardware benchmark: compare like with like"
        )
    keys = first.keys & second.keys if alike(first, second) else set()
    if not keys:
        raise ConfigError(
            f"{one.path} and {other.path} have no work in common that was timed: no architecture, batch size "
            "and optimizer on pictures of one shape; give runs of one config"
        )
    rows = tuple(_row(first, second, group) for group in _together((first, second), keys))
    if one.sweep:
        whole = {"all programs": _row(first, second, keys)}
    else:
        whole = {
            name: _mean(first, second, [r for r in rows if kind in _kinds(r)])
            for kind, name in TOLD.items()
        }
    return Joined(first, second, rows, whole)


def _kinds(row: Row) -> set[Any]:
    return {key[-1] for key in row.keys if isinstance(key, tuple)}


def _together(sides: Iterable[Side], keys: Collection[Key]) -> list[set[Key]]:
    """Keys in groups: those that share a program on either side cannot be told apart by its times."""
    every = [unit for side in sides for run in side.runs for unit in run.units]
    groups = {key: {key} for unit in every for key in unit.shares if key in keys}
    for unit in every:
        held = [groups[key] for key in unit.shares if key in groups]
        joined = set().union(*held)
        groups |= dict.fromkeys(joined, joined)
    return list({id(group): group for group in groups.values()}.values())


def _row(first: Side, second: Side, keys: set[Key]) -> Row:
    """The cost of a step, of the mix that the first side's first run trained, on both sides."""
    weights = {key: first.first.work[key].epochs for key in keys}
    units = tuple(tuple(_of(run, keys) for run in side.runs) for side in (first, second))
    one, other = (
        Estimate.of([_cost(run, weights) for run in side.runs]) for side in (first, second)
    )
    step_s = math.exp(one.at[0]), math.exp(other.at[0])
    return Row(frozenset(keys), units, step_s, Ratio.of(one, other, machine(first, second)))


def _of(run: Run, keys: set[Key]) -> tuple[Unit, ...]:
    return tuple(unit for unit in run.units if not keys.isdisjoint(unit.shares))


def _cost(run: Run, weights: dict[Key, float]) -> Cost:
    """Of a step, on the mean over so many epochs of each key."""
    units = _of(run, set(weights))
    steps = sum(weight * run.work[key].steps for key, weight in weights.items())
    amounts = [
        unit.iterations * sum(weights.get(key, 0.0) * part for key, part in unit.shares.items())
        for unit in units
    ]
    return Cost.total([unit.cost for unit in units], [amount / steps for amount in amounts])


def _mean(first: Side, second: Side, rows: Sequence[Row]) -> Row:
    """All points of a benchmark, each counting alike: the geometric mean of their ratios.

    With one run a side its points are the samples, in the order in which they were measured; else its runs.
    """
    units = tuple(
        tuple(tuple(row.units[side][run][0] for row in rows) for run in range(len(s.runs)))
        for side, s in enumerate((first, second))
    )
    points = [[np.array([unit.cost.at for unit in run]) for run in side] for side in units]
    if len(first.runs) == len(second.runs) == 1:
        paired = Estimate.of([Cost.mean(points[1][0] - points[0][0])])
        ratio = Ratio(paired.at, paired.below, paired.above, paired.freedom)
    else:
        one, other = ([Cost.mean(run) for run in side] for side in points)
        ratio = Ratio.of(Estimate.of(one), Estimate.of(other))
    step_s = tuple(math.exp(np.mean([run[:, 0] for run in side])) for side in points)
    keys = frozenset(key for row in rows for key in row.keys)
    return Row(keys, units, (step_s[0], step_s[1]), ratio)


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
