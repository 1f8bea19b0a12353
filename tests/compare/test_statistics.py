"""The test that says slower or faster: how often it is wrong, and how often it finds what is there."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.comparison.cost import LEAST, Cost
from bench.comparison.ratio import (
    CHANGED,
    FASTER,
    FEW,
    NOISY,
    SAME,
    SLOWER,
    Estimate,
    Ratio,
)  # fmt: skip

DRAWN = settings(deadline=None, max_examples=25, database=None)
Noise = Callable[[np.random.Generator, int], np.ndarray]
SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=LEAST, max_size=60).map(np.array)


def independent(spread: float) -> Noise:
    return lambda rng, n: np.exp(spread * rng.standard_normal(n))


def bursts(share: float, length: float, factor: float) -> Noise:
    """Other work comes and goes: for `length` dispatches in the mean, for a `share` of the time."""

    def noise(rng: np.random.Generator, n: int) -> np.ndarray:
        begins, ends = share / (1 - share) / length, 1 / length
        busy = np.empty(n, bool)
        busy[0] = rng.random() < share
        for place in range(1, n):
            busy[place] = rng.random() >= ends if busy[place - 1] else rng.random() < begins
        return np.where(busy, factor, 1.0) * np.exp(0.02 * rng.standard_normal(n))

    return noise


def drifting(spread: float, like: float) -> Noise:
    """Each dispatch is `like` the one before it."""

    def noise(rng: np.random.Generator, n: int) -> np.ndarray:
        logs = rng.standard_normal(n)
        for place in range(1, n):
            logs[place] = like * logs[place - 1] + np.sqrt(1 - like**2) * logs[place]
        return np.exp(spread * logs)

    return noise


def busier(rng: np.random.Generator, n: int) -> np.ndarray:
    """Some runs meet more of other work than others."""
    return bursts(rng.choice([0.05, 0.3, 0.6]), 4, 1.5)(rng, n)


def estimate(*runs: np.ndarray) -> Estimate:
    return Estimate.of([Cost.of(seconds) for seconds in runs])


def verdicts(noise: Noise, n: int, factor: float, pairs: int, seed: int = 0) -> Counter[str]:
    """What is said of pairs of runs, the second of which takes `factor` times as long."""
    rng = np.random.default_rng(seed)
    found = (
        Ratio.of(estimate(noise(rng, n)), estimate(factor * noise(rng, n))).verdict()
        for _ in range(pairs)
    )
    return Counter(found)


@pytest.mark.parametrize("n", [14, 40])
@pytest.mark.parametrize(
    "noise",
    [
        independent(0.02),
        independent(0.25),
        drifting(0.1, 0.5),
        bursts(0.3, 3, 1.5),
        bursts(0.2, 5, 2),
        busier,
    ],
    ids=["quiet", "loud", "drifting", "bursts", "long bursts", "busier"],
)
def test_of_the_same_thing_at_most_one_in_twenty_is_called_different(noise: Noise, n: int) -> None:
    found = verdicts(noise, n, 1.0, pairs=100)
    assert found[SLOWER] + found[FASTER] <= 5, found


def test_short_runs_may_differ_as_wholes_by_as_much_as_their_dispatches() -> None:
    def noise(rng: np.random.Generator, n: int) -> np.ndarray:
        return np.exp(0.03 * rng.standard_normal()) * independent(0.03)(rng, n)

    found = verdicts(noise, 14, 1.0, pairs=200)
    assert found[SLOWER] + found[FASTER] <= 10, found


@pytest.mark.parametrize(
    ("noise", "n", "least"),
    [(independent(0.015), 14, 85), (independent(0.03), 40, 85), (bursts(0.1, 3, 1.5), 60, 75)],
    ids=["a short run", "a noisier one", "a longer one in bursts"],
)
def test_a_tenth_more_is_mostly_found(noise: Noise, n: int, least: int) -> None:
    found = verdicts(noise, n, 1.1, pairs=100)
    assert found[SLOWER] >= least, found
    assert not found[FASTER]


def test_what_is_the_same_is_said_to_be() -> None:
    assert verdicts(independent(0.015), 14, 1.0, pairs=50)[SAME] >= 45


def test_too_much_noise_is_no_sameness() -> None:
    assert set(verdicts(independent(0.25), 14, 1.0, pairs=20)) == {NOISY}


def test_few_dispatches_tell_nothing() -> None:
    few, enough = np.full(LEAST - 1, 1.0), np.full(LEAST, 1.0)
    for first, second in ((few, 9 * enough), (9 * enough, few), (few, few)):
        ratio = Ratio.of(estimate(first), estimate(second))
        assert ratio.interval() is None
        assert ratio.verdict() == FEW
    assert Ratio.of(estimate(enough), estimate(9 * enough)).verdict() == SLOWER


def test_repeats_find_out_how_runs_differ_as_wholes() -> None:
    """Each run by itself is quiet, and yet they are a tenth apart: only several of a side can tell that."""
    rng, wrong, pairs = np.random.default_rng(0), 0, 1000
    for _ in range(pairs):
        one, other = (
            Estimate.of([Cost.single(seconds) for seconds in np.exp(0.1 * rng.standard_normal(3))])
            for _ in range(2)
        )
        wrong += Ratio.of(one, other).verdict() in (SLOWER, FASTER)
    assert wrong <= 0.05 * pairs
    found = sum(
        Ratio.of(
            *(Estimate.of([Cost.single(f * s) for s in np.exp(0.1 * rng.standard_normal(3))]) for f in (1, 2))
        ).verdict() == SLOWER
        for _ in range(100)
    )  # fmt: skip
    assert found >= 95


def test_a_slower_machine_is_no_finding() -> None:
    """Where memory was half as fast, twice the time says nothing of the program; four times does."""
    rng, quiet, half = np.random.default_rng(0), independent(0.01), np.log(2)
    first = estimate(quiet(rng, 40))
    for factor, verdict in ((2, CHANGED), (4, SLOWER), (1, SAME), (1 / 2, FASTER)):
        assert Ratio.of(first, estimate(factor * quiet(rng, 40)), half).verdict() == verdict
    assert Ratio.of(first, estimate(0.5 * quiet(rng, 40)), -half).verdict() == CHANGED


def test_the_fastest_tenth_has_a_say() -> None:
    """A median that lies in a burst is no slower program, if the rest of it is as fast as ever."""
    quiet = np.exp(0.01 * np.random.default_rng(0).standard_normal(60))
    busy = quiet * np.where(np.arange(60) % 10 < 7, 1.5, 1.0)
    ratio = Ratio.of(estimate(quiet), estimate(busy))
    assert ratio.value == pytest.approx(1.5, abs=0.02)
    assert ratio.fastest == pytest.approx(1, abs=0.02)
    assert ratio.verdict() == NOISY


@given(SECONDS, SECONDS, st.floats(0.1, 10))
@DRAWN
def test_the_interval_is_of_the_ratio_alone(
    first: np.ndarray, second: np.ndarray, unit: float
) -> None:
    ratio = Ratio.of(estimate(first), estimate(second))
    low, high = ratio.interval() or (None, None)
    assert ratio.value == pytest.approx(np.median(second) / np.median(first))
    assert low is not None
    assert high is not None
    assert low <= ratio.value * (1 + 1e-9)
    assert ratio.value <= high * (1 + 1e-9)
    wider = ratio.interval(0.99)
    assert wider is not None
    assert wider[0] <= low
    assert wider[1] >= high
    turned = Ratio.of(estimate(second), estimate(first)).interval()
    assert turned == pytest.approx((1 / high, 1 / low), rel=1e-6)
    scaled = Ratio.of(estimate(unit * first), estimate(unit * second)).interval()
    assert scaled == pytest.approx((low, high), rel=1e-6)


def test_bursts_that_meet_all_programs_do_not_average_out() -> None:
    """Two programs that took turns are drawn together: their total scatters as each of them does."""
    seconds = bursts(0.3, 5, 2)(np.random.default_rng(3), 60)
    one = Cost.of(seconds)
    both = Cost.total([one, Cost.of(3 * seconds)], [1.0, 1.0])
    assert np.allclose(both.drawn, one.drawn + np.log(4))
    assert both.at == pytest.approx(one.at + np.log(4))


def test_a_million_dispatches_are_no_trouble() -> None:
    cost = Cost.of(np.full(10**6, 2.0))
    assert cost.drawn.shape == (2, 1000)
    assert cost.at == pytest.approx(np.log(2))
