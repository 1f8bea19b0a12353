"""Where a trial that comes later trains: in the cheapest program that admits it."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import costs as model
from bench import padding
from bench.plan import Machine, Plan, plan
from tests.planned import CORE, CPU, DIGITS, GPU, MACHINES, MNIST, one, trial

BOUNDS = [
    trial(features=f, units=u, dense_layers=d, batch_size=b, optimizer=o, dropout=0.3, epochs=900)
    for f, u, d, b, o in itertools.product((8, 64), (16, 128), (1, 3), (16, 24), ("adam", "sgd"))
]


@given(
    machine=MACHINES,
    mode=st.sampled_from(("cost", "fewest")),
    known=st.booleans(),
    asked=st.fixed_dictionaries(
        {
            "features": st.integers(8, 64),
            "units": st.integers(16, 128),
            "dense_layers": st.integers(1, 3),
            "batch_size": st.sampled_from((16, 24, 32, 104)),
            "optimizer": st.sampled_from(("adam", "sgd")),
            "dropout": st.sampled_from((0.0, 0.1)),
        }
    ),
)
@settings(deadline=None, max_examples=15, database=None)
def test_all_between_bounds_has_a_home(
    machine: Machine, mode: str, known: bool, asked: dict[str, Any]
) -> None:
    trials = [trial(features=20, units=20, dropout=0.3)] if known else []
    found = plan(trials, DIGITS, machine, mode=mode, bounds=BOUNDS)
    stranger = trial(**asked)
    program = found.home(stranger)
    assert program is not None
    assert padding.admits(program.layers, stranger.layers(10))
    assert asked["batch_size"] % program.microbatch == 0
    assert [i for p in found.programs for i in p.trials] == [t.id for t in trials]
    assert sum(p.train_s for p in found.programs if not p.trials) == 0


def test_cost_parts_bounds_too() -> None:
    """Widths far apart, on a slow machine, get programs of their own, and what lies between the larger."""
    bounds = [trial(features=f, epochs=50) for f in (4, 64)]
    found = plan([], MNIST, CORE, bounds=bounds)
    small, large = sorted(found.programs, key=lambda p: p.parameters)
    assert found.home(trial(features=4)) is small
    assert found.home(trial(features=20)) is large
    assert large.padded


@pytest.mark.parametrize(
    "stranger",
    [{"features": 17}, {"units": 65}, {"activation": "tanh"}, {"optimizer": "sgd"},
     {"batch_size": 32}, {"batch_size": 128}, {"kernel": 5}, {"flip": True}, {"dropout": 0.1},
     {"features": 8}, {"dense_layers": 2}],
)  # fmt: skip
def test_what_no_program_admits_has_no_home(stranger: dict[str, Any]) -> None:
    found = plan([trial()], DIGITS, CPU)
    assert found.home(trial(seed=7)) is found.programs[0]
    assert found.home(trial(**stranger)) is None


def test_a_program_that_accumulates_takes_any_multiple() -> None:
    found = plan([trial(batch_size=b) for b in (32, 64)], DIGITS, CPU, mode="fewest")
    assert one(found).accumulates
    assert found.home(trial(batch_size=96)) is found.programs[0]
    assert found.home(trial(batch_size=48)) is None


def test_the_cheapest_home_is_taken() -> None:
    trials = [trial(features=f, units=u) for f in (8, 64) for u in (8, 16)]
    pairs = [trials[:2], trials[2:]]
    programs = tuple(one(plan(p, DIGITS, CPU, mode="fewest")) for p in pairs)
    found = Plan(programs[::-1], DIGITS, CPU, model.default("cpu"))
    assert found.home(trial(features=7, units=9)) is programs[0]
    assert found.home(trial(features=9, units=9)) is programs[1]


@pytest.mark.parametrize(
    "plain",
    [{"learning_rate": 0.5}, {"epochs": 5000}, {"seed": 9}, {"schedule": "cosine"}, {"beta1": 0.5}],
)
@pytest.mark.parametrize("machine", [CPU, GPU])
def test_plain_numbers_never_matter_to_a_home(machine: Machine, plain: dict[str, Any]) -> None:
    trials = [trial(features=f, units=u, epochs=300) for f in (8, 64) for u in (8, 512)]
    found = plan(trials, MNIST, machine)
    for features in (7, 8, 30, 64):
        wanted = {"features": features, "units": 8, "optimizer": "adam"}
        assert found.home(trial(**wanted)) is found.home(trial(**wanted, **plain))


def test_homes_of_thousands_are_soon_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture, batch size and optimizer is looked up once."""
    found = plan([trial(features=f) for f in range(4, 20)], DIGITS, CPU, mode="separate")
    asked = 0

    def counted(*layers: Any) -> bool:
        nonlocal asked
        asked += 1
        return admits(*layers)

    admits = padding.admits
    monkeypatch.setattr(padding, "admits", counted)
    for seed in range(1, 200):
        home = found.home(trial(features=4 + seed % 16, seed=seed))
        assert home is found.programs[seed % 16]
    assert asked == 16


def test_what_the_image_does_not_fit_through_has_no_home() -> None:
    assert plan([trial()], DIGITS, CPU).home(trial(filter_repeats=4)) is None
