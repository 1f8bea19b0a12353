"""Trials known before the first is trained: a grid, random draws, or any list."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import ConfigError
from bench.space import Axis, Choice, draw, grid
from bench.trial import Trial


class Fixed:
    """Hands out a list of trials in order, each content once; results do not change its mind."""

    bounds: tuple[Trial, ...] = ()  # `known` is all

    def __init__(self, trials: Iterable[Trial]):
        self.known = tuple({trial.id: trial for trial in trials}.values())
        self._next = 0
        if not self.known:
            raise ConfigError("the search space is empty: no trial to train")

    @property
    def exhausted(self) -> bool:
        return self._next == len(self.known)

    def ask(self) -> Trial | None:
        if self.exhausted:
            return None
        self._next += 1
        return self.known[self._next - 1]

    def tell(self, trial: Trial, metrics: Mapping[str, float], ended: bool) -> None:
        """Takes note of nothing: the list is fixed."""

    def state(self) -> dict[str, Any]:
        """Nothing: which trials were begun is known by their content, and the list may have grown."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: ARG002
        self._next = 0


def grid_trials(
    base: Mapping[str, Any], space: Mapping[str, Axis], data: Mapping[str, Any]
) -> tuple[Trial, ...]:
    """Every different combination of the axes' values over `base`; without an axis, `base` alone."""
    trials = (Trial.create({**base, **point}, data) for point in grid(space))
    return tuple({trial.id: trial for trial in trials}.values())


def random_trials(
    base: Mapping[str, Any],
    space: Mapping[str, Axis],
    data: Mapping[str, Any],
    trials: int,
    seed: int,
) -> tuple[Trial, ...]:
    """`trials` different random points of the space; fewer where it holds fewer.

    Raises:
        ConfigError: no number of trials, or nothing to draw from.
    """
    if trials < 1:
        raise ConfigError("random search needs a number of trials: --config.search.trials=N, N ≥ 1")
    if not space:
        raise ConfigError(
            "random search needs an axis: --axis=learning_rate='log_uniform(1e-4, 1e-1)'"
        )
    found: dict[str, Trial] = {}
    # A discrete space may be smaller than the number asked for; a hundred draws in a row that bring
    # nothing new are taken as its end.
    misses, index = 0, 0
    patience = (
        1 if all(isinstance(a, Choice) and len(a.values) == 1 for a in space.values()) else 100
    )
    while len(found) < trials and misses < patience:
        trial = Trial.create({**base, **draw(space, seed, index)}, data)
        misses = misses + 1 if trial.id in found else 0
        found[trial.id] = trial
        index += 1
    return tuple(found.values())
