import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.timing import Ratio, Spread, Stopwatch, faster, interleaved


class Clock:
    """Stands still unless work is done."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> Callable[[], float]:
        """A call that takes so long, and returns it."""

        def call() -> float:
            self.now += seconds
            return seconds

        return call


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_phases_are_counted_apart_until_they_are_taken(clock: Clock) -> None:
    watch = Stopwatch(clock)
    for seconds in (1, 2):
        with watch("train"):
            clock.now += seconds
        clock.now += 100  # in no phase
        with watch("input"):
            clock.now += 10 * seconds
    assert (watch.take("train"), watch.take("input"), watch.take("tune")) == (3, 30, 0)
    assert watch.take("train") == 0


def test_an_inner_phase_stops_the_outer_one(clock: Clock) -> None:
    watch = Stopwatch(clock)
    with watch("input"):
        clock.now += 1
        with watch("compile"):
            clock.now += 10
            with watch("input"):
                clock.now += 100
        clock.now += 1000
    assert (watch.take("input"), watch.take("compile")) == (1101, 10)


def test_seconds_until_an_error_count(clock: Clock) -> None:
    watch = Stopwatch(clock)

    def fail() -> None:
        clock.now += 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watch("train"), watch("input"):
        fail()
    clock.now += 10
    with watch("train"):
        clock.now += 2
    assert (watch.take("train"), watch.take("input")) == (2, 1)


Phases = st.recursive(
    st.just([]), lambda inner: st.lists(st.tuples(st.sampled_from("abc"), inner), max_size=3)
)


@given(Phases)
def test_however_phases_nest_every_second_counts_once(phases: list) -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def play(phases: list) -> float:
        start = clock.now
        for name, inner in phases:
            with watch(name):
                clock.now += 1
                play(inner)
                clock.now += 1
        return clock.now - start

    assert play(phases) == sum(map(watch.take, "abc"))


def test_candidates_take_turns_in_an_order_that_rotates(clock: Clock) -> None:
    called: list[str] = []
    candidates = {name: (lambda name=name: called.append(name)) for name in "abc"}
    samples = interleaved(candidates, 4, clock=clock)
    assert "".join(called) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert {name: len(seconds) for name, seconds in samples.items()} == dict.fromkeys("abc", 4)


def test_a_sample_ends_when_the_device_is_done(clock: Clock) -> None:
    """A call that only hands work over is timed with the waiting, and warm-ups are not counted."""
    blocked: list[str] = []

    def block(result: str) -> None:
        blocked.append(result)
        clock.now += 3 if len(blocked) > 2 else 1000

    candidates = {"a": lambda: "a", "b": lambda: "b"}
    samples = interleaved(candidates, 2, clock=clock, block=block)
    assert "".join(blocked) == "ab" + "ab" + "ba"
    assert samples["a"].tolist() == samples["b"].tolist() == [3, 3]


def test_slow_samples_stay(clock: Clock) -> None:
    seconds = iter((1, 1, 50, 1, 1))

    def call() -> None:
        clock.now += next(seconds)

    samples = interleaved({"a": call}, 4, clock=clock)
    assert samples["a"].tolist() == [1, 50, 1, 1]


@pytest.mark.parametrize(
    ("budget_s", "rounds"),
    # The warm-up takes 3 s and so does each round.
    [(0, 0), (2.9, 0), (3, 1), (5.9, 1), (6, 1), (9, 2), (11.9, 2), (12, 3), (math.inf, 10)],
)
def test_rounds_end_within_the_budget_but_for_the_first(
    clock: Clock, budget_s: float, rounds: int
) -> None:
    candidates = {"a": clock.work(1), "b": clock.work(2)}
    samples = interleaved(candidates, 10, budget_s, clock)
    assert samples["a"].tolist() == [1] * rounds
    assert samples["b"].tolist() == [2] * rounds


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=4), st.floats(0, 100))
def test_whatever_the_budget_all_have_as_many_samples(times: list[float], budget_s: float) -> None:
    clock = Clock()
    start, round_s = clock.now, sum(times)
    candidates = {str(place): clock.work(seconds) for place, seconds in enumerate(times)}
    samples = interleaved(candidates, 20, budget_s, clock)
    assert len({len(seconds) for seconds in samples.values()}) == 1
    most = max(budget_s, 2 * round_s if budget_s >= round_s else round_s)
    assert clock.now - start <= most + 1e-6


def test_ratios_are_taken_round_by_round() -> None:
    # The second round was ten times slower for both: their ratio stays what it was.
    assert faster([1, 10, 2], [3, 30, 4]) == Ratio(3.0, 2.0, 3.0, 3)
    assert faster([], []) == Ratio(None, None, None, 0)
    with pytest.raises(ValueError, match="shorter"):
        faster([1, 2], [1])


def test_the_spread_of_nothing_is_unknown_and_of_one_is_itself() -> None:
    assert Spread.of(np.array([])) == Spread(None, None, None, 0)
    assert Spread.of(np.array([2.5])) == Spread(2.5, 2.5, 2.5, 1)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_spread_is_in_order(values: list[float]) -> None:
    spread = Spread.of(np.array(values))
    ordered = (min(values), spread.p5, spread.median, spread.p95, max(values))
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(ordered))
    assert spread.n == len(values)
