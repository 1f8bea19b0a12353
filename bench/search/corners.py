"""The corners of a search space: trials that span what an adaptive sampler may ask for."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from bench.cells import augments, has_batch_norm, without_rates
from bench.errors import ConfigError
from bench.layers import Layers
from bench.space import Axis, Choice, draw
from bench.trial import Trial

MOST_CORNERS = 4096
PROBES = 8  # random points at which it is tried whether an axis matters
CLASSES = 2  # of the architectures that are compared: any number will do


def corners(
    base: Mapping[str, Any], space: Mapping[str, Axis], data: Mapping[str, Any]
) -> tuple[Trial, ...]:
    """Every combination of the ends of numeric axes and the values of the others.

    Only over axes that decide which program a trial needs; the others stand at their largest value, for a
    program must know whether anything is dropped. Between two batch sizes of a distribution
    lie multiples of its step alone, so the second is a corner too; with batch norm every one is.

    Args:
        base: what every trial starts from.
        space: what varies.
        data: see `Trial.create`.

    Raises:
        ConfigError: more than `MOST_CORNERS` combinations, or a setting that is not allowed.
    """
    points = [{**base, **point} for point in _probes(space)]
    norm = any(has_batch_norm(_structure(point)[0]) for point in points)
    sides: dict[str, tuple] = {}
    for name, axis in space.items():
        values = _values(axis, inner=0 if name != "batch_size" else 10**6 if norm else 1)
        if any(len({_structure({**point, name: v}) for v in values}) > 1 for point in points):
            sides[name] = values
        else:
            sides[name] = (max(values) if _ordered(values) else values[-1],)
    count = math.prod(map(len, sides.values()))
    if count > MOST_CORNERS:
        longest = max(sides, key=lambda name: len(sides[name]))
        raise ConfigError(
            f"the search space has {count:,} corners, {MOST_CORNERS:,} are allowed: give {longest} fewer "
            "values, or a distribution, such as quniform(8, 64, 8)"
        )
    made = (dict(zip(sides, values, strict=True)) for values in itertools.product(*sides.values()))
    trials = (Trial.create({**base, **point}, data) for point in made)
    return tuple({trial.id: trial for trial in trials}.values())


def _probes(space: Mapping[str, Axis]) -> Iterator[dict[str, Any]]:
    """Points of the space at which an axis shows whether it matters: it may matter beside others alone."""
    for place in (0, -1):
        yield {name: _values(axis)[place] for name, axis in space.items()}
    for index in range(PROBES):
        yield draw(space, 0, index)


def _structure(settings: Mapping[str, Any]) -> tuple[Layers, int, str, bool]:
    """What of a trial is no plain number to its program."""
    trial = Trial.create(settings, {})
    layers = without_rates(trial.layers(CLASSES))
    return layers, trial["batch_size"], trial["optimizer"], augments(trial)


def _values(axis: Axis, inner: int = 0) -> tuple:
    """A choice's values; of a distribution its ends, and up to `inner` more where it has steps."""
    if isinstance(axis, Choice):
        return axis.values
    if not axis.step:
        return axis.low, axis.high
    steps = math.floor((axis.high - axis.low) / axis.step + 1e-9)
    places = [*range(min(inner + 1, steps)), steps]
    return tuple(axis.low + place * axis.step for place in places)


def _ordered(values: tuple) -> bool:
    return all(isinstance(value, int | float) for value in values)
