from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.plan import Machine, Workload, plan
from bench.search import Sampler, corners, grid_trials
from bench.space import Axis, choice, draw, log_uniform, qlog_uniform, quniform, uniform
from bench.trial import Trial

DATA = {"data": "x"}
AXES: dict[str, Axis] = {
    "features": quniform(4, 40, 4),
    "units": qlog_uniform(8, 100, 1),
    "dense_layers": choice(0, 1, 3),
    "taper": uniform(0.25, 1),
    "activation": choice("relu", "tanh", "sigmoid"),
    "batch_norm": choice(False, True),
    "optimizer": choice("adam", "sgd"),
    "momentum": uniform(0.5, 0.9),
    "batch_size": quniform(24, 100, 8),
    "learning_rate": log_uniform(1e-4, 1e-1),
    "dropout": uniform(0, 0.5),
    "shift": choice(0, 2),
    "model": choice("stack", "mlp"),
    "kernel": choice(3, 5),
}


def values(found: tuple[Trial, ...], name: str) -> set[Any]:
    return {trial.settings.get(name) for trial in found}


def test_ends_of_what_is_compiled_and_the_largest_of_the_rest() -> None:
    names = ("features", "activation", "learning_rate", "dropout", "momentum")
    found = corners({"optimizer": "momentum"}, {name: AXES[name] for name in names}, DATA)
    assert len(found) == 6
    assert values(found, "features") == {4, 40}
    assert values(found, "activation") == {"relu", "tanh", "sigmoid"}
    assert values(found, "learning_rate") == {0.1}
    assert values(found, "dropout") == {0.5}
    assert values(found, "momentum") == {0.9}


def test_an_axis_that_matters_only_beside_another() -> None:
    """`units` does nothing where there is no dense layer, and `taper` only from two on."""
    space = {name: AXES[name] for name in ("units", "taper", "dense_layers")}
    found = corners({"dense_layers": 0}, space, DATA)
    assert {(t["units"], t["taper"], t["dense_layers"]) for t in found} == {
        (u, t, d) for u in (8, 100) for t in (0.25, 1.0) for d in (0, 1, 3)
    }


def test_batch_sizes_between_are_spanned_by_the_step() -> None:
    space = {"batch_size": AXES["batch_size"]}
    assert values(corners({}, space, DATA), "batch_size") == {24, 32, 96}
    every = corners({"batch_norm": True}, space, DATA)
    assert values(every, "batch_size") == set(range(24, 100, 8))


def test_no_axis_is_one_corner() -> None:
    assert corners({"features": 4}, {}, DATA) == (Trial.create({"features": 4}, DATA),)


def test_too_many_corners_name_an_axis() -> None:
    space: dict[str, Axis] = {
        name: choice(*range(1, 18)) for name in ("features", "units", "batch_size")
    }
    with pytest.raises(ConfigError, match=r"4,913 corners.*give \w+ fewer values") as caught:
        corners({}, space, DATA)
    assert "\n" not in str(caught.value)


class Toy:
    """An adaptive sampler that knows no trial beforehand."""

    known: tuple[Trial, ...] = ()
    exhausted = False

    def __init__(self, base: Mapping[str, Any], space: Mapping[str, Axis]):
        self.base, self.space, self.asked = base, space, 0
        self.bounds = corners(base, space, DATA)

    def ask(self) -> Trial | None:
        self.asked += 1
        return Trial.create({**self.base, **draw(self.space, 7, self.asked)}, DATA)

    def tell(self, trial: Trial, metrics: Mapping[str, float], ended: bool) -> None:
        """Learns nothing."""


SPACES = st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=5, unique=True)


@given(
    SPACES,
    st.sampled_from(("cost", "fewest")),
    st.sampled_from(("cpu", "gpu")),
    st.sampled_from((1, 500)),
    st.booleans(),
)
@settings(deadline=None, max_examples=15, database=None)
def test_whatever_is_asked_has_a_home(
    names: list[str], mode: str, platform: str, epochs: int, known: bool
) -> None:
    sampler: Sampler = Toy({"epochs": epochs}, {name: AXES[name] for name in names})
    trials = grid_trials({}, {}, DATA) if known else ()
    workload, machine = Workload((8, 8, 1), 10, 1000, 300), Machine(platform, 1, 8 << 30)
    found = plan(trials, workload, machine, mode=mode, bounds=sampler.bounds)
    for _ in range(20):
        trial = sampler.ask()
        assert trial is not None
        assert found.home(trial) is not None, trial.describe(tuple(names))
