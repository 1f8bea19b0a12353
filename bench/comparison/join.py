"""Which work two sides have in common, whatever their plans."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from bench.comparison.benchmark import TOLD
from bench.comparison.cost import Cost
from bench.comparison.ratio import Estimate, Ratio
from bench.comparison.row import Joined, Row
from bench.comparison.run import Key, Run, Unit
from bench.comparison.side import Side, alike, machine
from bench.errors import ConfigError


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
