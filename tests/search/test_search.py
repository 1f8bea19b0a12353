"""The contract of `bench.search.Sampler`: every sampler, one that is new too, is a row of SAMPLERS."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.search import Fixed, Sampler, create
from bench.space import Axis, choice, log_uniform, quniform, uniform
from bench.trial import Trial

DATA = {"data": "0123456789abcdef", "precision": "float32"}
BASE = {"optimizer": "sgd", "epochs": 3}
DISCRETE: dict[str, Axis] = {"features": choice(4, 8, 16), "learning_rate": choice(1e-3, 1e-2)}
MIXED: dict[str, Axis] = {**DISCRETE, "learning_rate": log_uniform(1e-4, 1e-1)}

# name → how many trials it has, and what makes it.
SAMPLERS: dict[str, tuple[int, dict[str, Any], dict[str, Axis]]] = {
    "grid": (6, {"method": "grid", "trials": 0, "seed": 0}, DISCRETE),
    "grid, cut": (4, {"method": "grid", "trials": 4, "seed": 0}, DISCRETE),
    "grid, cut beyond its end": (6, {"method": "grid", "trials": 9, "seed": 0}, DISCRETE),
    "grid of one": (1, {"method": "grid", "trials": 0, "seed": 0}, {}),
    "random": (20, {"method": "random", "trials": 20, "seed": 0}, MIXED),
    "random of few": (6, {"method": "random", "trials": 50, "seed": 3}, DISCRETE),
}


def made(name: str) -> Sampler:
    _, search, space = SAMPLERS[name]
    return create(search, BASE, space, DATA)


def random_search(space: dict[str, Axis], trials: int, seed: int = 0) -> Sampler:
    return create({"method": "random", "trials": trials, "seed": seed}, BASE, space, DATA)


def ids(sampler: Sampler) -> list[str]:
    return [trial.id for trial in sampler.known]


@pytest.fixture(params=SAMPLERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_hands_out_every_known_trial_once_then_none(name: str) -> None:
    sampler, asked = made(name), []
    assert len(sampler.known) == SAMPLERS[name][0]
    while not sampler.exhausted:
        trial = sampler.ask()
        assert trial is not None, "not exhausted, and nothing runs that could bring more"
        asked.append(trial)
        assert len(asked) <= len(sampler.known)
        sampler.tell(trial, {"valid_accuracy": 0.5}, ended=True)
    assert sorted(t.id for t in asked) == sorted(ids(sampler))
    assert len({t.id for t in asked}) == len(asked)
    for _ in range(3):
        assert sampler.ask() is None
        assert sampler.exhausted


def test_known_is_stable(name: str) -> None:
    sampler = made(name)
    before = ids(sampler)
    while (trial := sampler.ask()) is not None:
        sampler.tell(trial, {"valid_accuracy": 0.1}, ended=False)
        sampler.tell(trial, {"valid_accuracy": 0.9}, ended=True)
        assert ids(sampler) == before


def test_results_need_not_come_in_order(name: str) -> None:
    """A restart tells nothing of the trials that were trained before."""
    sampler, asked = made(name), []
    while (trial := sampler.ask()) is not None:
        asked.append(trial)
    for trial in reversed(asked[1:]):
        sampler.tell(trial, {}, ended=True)
    assert sampler.exhausted


def test_the_same_settings_give_the_same_trials(name: str) -> None:
    one, other = made(name), made(name)
    while not one.exhausted:
        assert one.ask() == other.ask()
    assert other.exhausted


def test_trials_are_the_base_with_the_axes_over_it(name: str) -> None:
    space = SAMPLERS[name][2]
    for trial in made(name).known:
        point = {axis: trial[axis] for axis in space}
        assert trial == Trial.create({**BASE, **point}, DATA)


def test_a_grid_keeps_its_order() -> None:
    found = [(t["features"], t["learning_rate"]) for t in made("grid").known]
    assert found == [(f, r) for f in (4, 8, 16) for r in (1e-3, 1e-2)]
    assert ids(made("grid, cut")) == ids(made("grid"))[:4]


def test_a_grid_is_cut_to_different_trials() -> None:
    space = {"momentum": choice(0.5, 0.9), "features": choice(4, 8, 4.0, 16)}  # sgd has no momentum
    for trials, expected in ((0, 3), (1, 1), (2, 2), (3, 3)):
        sampler = create({"method": "grid", "trials": trials, "seed": 0}, BASE, space, DATA)
        assert len(sampler.known) == expected


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50, database=None)
def test_contents_come_once_in_the_order_of_their_first(features: list[int]) -> None:
    sampler = Fixed(Trial.create({"features": f}, DATA) for f in features)
    assert [t["features"] for t in sampler.known] == list(dict.fromkeys(features))


@pytest.mark.parametrize(
    ("space", "points"),
    [
        ({"features": choice(8)}, 1),
        ({"features": choice(8, 8.0)}, 1),
        ({"momentum": uniform(0, 0.9)}, 1),  # inactive: every draw is the same trial
        ({"features": quniform(8, 32, 8)}, 4),
        ({"features": quniform(8, 32, 8), "units": choice(4, 5, 6), "flip": choice(True)}, 12),
    ],
)
def test_random_search_of_a_small_space_ends_with_all_of_it(
    space: dict[str, Axis], points: int
) -> None:
    assert len(random_search(space, 1000).known) == points


@pytest.mark.parametrize("trials", [1, 2, 7])
def test_more_random_trials_begin_with_the_fewer(trials: int) -> None:
    assert ids(random_search(MIXED, trials)) == ids(random_search(MIXED, 12))[:trials]


def test_random_search_follows_its_seed() -> None:
    assert not set(ids(random_search(MIXED, 12, 0))) & set(ids(random_search(MIXED, 12, 1)))


@pytest.mark.parametrize(
    ("search", "space", "words"),
    [
        ({"method": "random", "trials": 0}, MIXED, "config.search.trials=N"),
        ({"method": "random", "trials": 5}, {}, "--axis="),
        ({"method": "random", "trials": 5, "seed": -1}, MIXED, "search.seed=-1"),
        ({"method": "random", "trials": -5}, MIXED, "search.trials=-5"),
        ({"method": "grid", "trials": -1}, DISCRETE, "search.trials=-1"),
        ({"method": "grid"}, MIXED, "learning_rate=log_uniform"),
        ({"method": "gird"}, DISCRETE, "did you mean 'grid'?"),
        ({"method": "rand"}, DISCRETE, "did you mean 'random'?"),
        ({"method": "grid"}, {"features": choice(8, 0.5)}, "features=0.5"),
        ({"method": "grid"}, {"featurs": choice(8)}, "did you mean 'features'?"),
    ],
)
def test_mistakes_are_one_line(search: dict[str, Any], space: dict[str, Axis], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create({"trials": 0, "seed": 0, **search}, BASE, space, DATA)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_trial_is_an_error() -> None:
    with pytest.raises(ConfigError, match="the search space is empty"):
        Fixed(())


def test_it_goes_back_to_where_its_state_was_taken(name: str) -> None:
    """Told and asked as it was after that, it asks for the same; what came before, perhaps again."""

    def asks(sampler: Sampler, times: int) -> list[str]:
        found = []
        for _ in range(times):
            if (trial := sampler.ask()) is None:
                break
            sampler.tell(trial, {"valid_accuracy": 0.5}, ended=True)
            found.append(trial.id)
        return found

    sampler, fresh = made(name), made(name)
    before = asks(sampler, 3)
    state = json.loads(json.dumps(sampler.state()))
    after = asks(sampler, 100)
    for restored in (sampler, fresh):
        restored.restore(state)
        again = asks(restored, 100)
        assert [trial for trial in again if trial not in before] == after


def test_more_random_trials_are_the_same_and_more() -> None:
    few, more = random_search(MIXED, 5), random_search(MIXED, 9)
    assert ids(more)[:5] == ids(few)
