"""The interface that every sampler meets, and the choice among them by name."""

from collections.abc import Mapping
from typing import Any, Protocol

from bench.errors import ConfigError, nearest
from bench.search.fixed import Fixed, grid_trials, random_trials
from bench.space import Axis
from bench.trial import Trial


class Sampler(Protocol):
    """Asked for trials, told how they fare.

    Attributes:
        known: the trials that it can name now, for the planner.
        bounds: trials that span what it may still ask for beyond `known`; () when `known` is all.
        exhausted: True once `ask` will never hand out another.
    """

    @property
    def known(self) -> tuple[Trial, ...]: ...

    @property
    def bounds(self) -> tuple[Trial, ...]: ...

    @property
    def exhausted(self) -> bool: ...

    def ask(self) -> Trial | None:
        """The next trial to train, or None where there is none at present."""

    def tell(self, trial: Trial, metrics: Mapping[str, float], ended: bool) -> None:
        """The metrics of `trial` after an epoch, or at its end."""

    def state(self) -> Mapping[str, Any]:
        """All that decides what it will ask for, as JSON, for a checkpoint."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes to where `state` was taken, by this process or another.

        It may then ask for trials that it has asked for before: they are known by their content.
        """


def create(
    search: Mapping[str, Any],
    base: Mapping[str, Any],
    space: Mapping[str, Axis],
    data: Mapping[str, Any],
) -> Sampler:
    """The sampler that `config.search` names.

    Args:
        search: `method`, `trials` (a number, 0 for all of a grid), `seed`.
        base: what every trial starts from.
        space: what varies.
        data: see `Trial.create`.

    Raises:
        ConfigError: an unknown method, or a space that the method cannot search.
    """
    for name in ("trials", "seed"):
        if search[name] < 0:
            raise ConfigError(f"search.{name}={search[name]} is not allowed: a number ≥ 0")
    method = search["method"]
    if method == "grid":
        trials = grid_trials(base, space, data)
        return Fixed(trials[: search["trials"] or None])
    if method == "random":
        return Fixed(random_trials(base, space, data, search["trials"], search["seed"]))
    raise ConfigError(f"unknown search method {method!r}: {nearest(method, ('grid', 'random'))}")
