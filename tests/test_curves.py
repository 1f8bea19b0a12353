"""Where the chip is full, and whether the largest batch is the best."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.curves import NEAR, Curve, curves, doubled, filled, lane_counts, ruling
from bench.points import Measured, Point, Skip
from bench.suite import ENTRIES, Benchmark

RATES = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20)
DRAWN = settings(deadline=None, max_examples=200, database=None)


def point(batch: int = 8, lanes: int = 1, rate: float = 1000.0, entry: str = "tiny") -> Point:
    """Of so many examples a second, in training; of evaluation twice as many."""
    seconds = batch * lanes / rate
    both = {"train": [seconds] * 3, "evaluate": [seconds / 2] * 3}
    return Point(entry, batch, lanes, 1, "map", 1, 10, 100, 1.0, None, 2.0, both,
                 {"train": 6.0, "evaluate": None})  # fmt: skip


def curve(rates: list[float], ended: str | None = "memory") -> Curve:
    points = tuple(point(8 * 2**n, rate=rate) for n, rate in enumerate(rates))
    return Curve("tiny", "batch", 1, points, ended, 8 * 2 ** len(rates))


@given(RATES)
@DRAWN
def test_full_is_the_first_near_the_best_whatever_the_curve(rates: list[float]) -> None:
    place = filled(rates)
    assert rates[place] >= NEAR * max(rates)
    assert all(rate < NEAR * max(rates) for rate in rates[:place])


@given(RATES, st.floats(0.1, 10))
@DRAWN
def test_the_unit_does_not_move_it(rates: list[float], unit: float) -> None:
    margins = [abs(rate / max(rates) - NEAR) for rate in rates]
    if min(margins) > 1e-9:
        assert filled([unit * rate for rate in rates]) == filled(rates)


@given(RATES)
@DRAWN
def test_on_a_growing_curve_all_after_it_are_near_too(rates: list[float]) -> None:
    rates.sort()
    assert all(rate >= NEAR * rates[-1] for rate in rates[filled(rates) :])


@given(
    st.integers(0, 9),
    st.integers(1, 10),
    st.lists(st.floats(0.98, 1.02), min_size=20, max_size=20),
)
@DRAWN
def test_noise_of_2_percent_does_not_hide_where_doubling_ends(
    knee: int, flat: int, noise: list[float]
) -> None:
    """Twice the throughput at each doubling up to the knee, nothing more after it."""
    rates = [2.0 ** min(n, knee) * noise[n] for n in range(knee + flat)]
    assert filled(rates) == min(knee, len(rates) - 1)


@given(RATES, st.sampled_from(["memory", "time", "limit", None]))
@DRAWN
def test_the_rule_holds_just_where_memory_ended_a_curve_whose_end_alone_is_near_the_best(
    rates: list[float], ended: str | None
) -> None:
    found = ruling(curve(rates, ended), "train")
    seen = curve(rates, ended).rates("train")  # to the bit as the ruling sees them
    alone = len(seen) > 1 and filled(seen) == len(seen) - 1
    slower = seen[-1] < NEAR * max(seen)
    assert (found.holds is True) == (alone and ended == "memory")
    assert (found.holds is False) == (len(seen) > 1 and not alone and (slower or ended == "memory"))
    assert found.words.startswith("yes") == (found.holds is True)
    assert found.words.startswith("no:") == (found.holds is False)


@pytest.mark.parametrize(
    ("rates", "ended", "words"),
    [
        ([1, 2, 4], "memory", "yes: fastest at 32, the largest in memory"),
        ([1, 2, 4], "time", "so far: fastest at 32, where time ended"),
        ([1, 4, 4], "memory", "no: 16 is as fast as 32, the largest in memory"),
        ([1, 4, 4], "limit", "not so far: 16 is as fast as 32, where the benchmark ended"),
        ([1, 4, 3], "memory", "no: 16 is the fastest; 25 % less at 32, the largest in memory"),
        ([1, 4, 3], "time", "no: 16 is the fastest; 25 % less at 32, where time ended"),
        ([1], "memory", "unknown: fewer than two batch sizes were measured"),
        ([], "memory", "unknown: fewer than two batch sizes were measured"),
    ],
)
def test_the_ruling_in_words(rates: list[float], ended: str, words: str) -> None:
    assert ruling(curve(rates, ended), "train").words == words


def test_a_point_in_numbers() -> None:
    """8 examples in each of 2 lanes, 4 steps a dispatch of 2, 3 and 10 s; 100 FLOPs an example."""
    seconds = {"train": [2.0, 3.0, 10.0], "evaluate": [1.0] * 3}
    found = Point("tiny", 8, 2, 2, "map", 4, 10, 100, 1.0, None, 2.0, seconds,
                  {"train": 38.4, "evaluate": None})  # fmt: skip
    ms = found.ms("train")
    assert (ms.median, ms.n) == (750.0, 3)
    assert (ms.p5, ms.p95) == pytest.approx((525.0, 2325.0))
    assert found.examples_per_s("train") == pytest.approx(64 / 3)
    assert found.gflops_per_s("train") == pytest.approx(300 * 64 / 3 / 1e9)
    assert found.gflops_per_s("evaluate") == pytest.approx(100 * 64 / 1e9)
    assert found.joules_per_example("train") == pytest.approx(38.4 / (3 * 64))
    assert found.joules_per_example("evaluate") is None


def test_lanes_fill_the_devices_and_double_from_there() -> None:
    assert lane_counts(1, 10) == [1, 2, 4, 8]
    assert lane_counts(2, 512) == [2**n for n in range(10)]
    assert lane_counts(6, 30) == [1, 2, 4, 6, 12, 24]
    assert lane_counts(6, 5) == [1, 2, 4]
    assert doubled(8, 7) == []


def test_the_curves_of_an_entry() -> None:
    """Lanes at two batch sizes, batches with one lane, and with the lanes that fill the chip."""
    measured, benchmark = Measured(), Benchmark(lanes=4, batch=64)
    for lanes, rate in ((1, 100), (2, 200), (4, 201)):
        one = point(8, lanes, rate)
        measured.points[one.place] = one
    large = point(64, 1, 300)
    measured.points[large.place] = large
    measured.skips = [
        Skip("tiny", 64, 2, "lanes", "memory", 5, 3),
        Skip("tiny", 16, 1, "batch", "time"),
    ]
    found = list(curves(ENTRIES["tiny"], benchmark, 2, measured))
    told = [(c.over, c.fixed, c.sizes, c.ended, c.next) for c in found]
    assert told == [
        ("lanes", 8, [1, 2, 4], "limit", None),
        ("lanes", 64, [1], "memory", 2),
        ("batch", 1, [8], "time", 16),
        ("batch", 2, [8], None, 16),
    ]
    full = found[0].full("train")
    assert full
    assert full.lanes == 2


def test_time_that_ended_one_curve_does_not_end_another_but_memory_does() -> None:
    measured = Measured(skips=[Skip("tiny", 16, 2, "lanes", "time")])
    place = ("tiny", 16, 2)
    assert measured.answer(place, "batch") is None
    assert measured.answer(place, "lanes") == measured.skips[0]
    one = point(16, 2)
    measured.points[place] = one
    assert measured.answer(place, "batch") == one
    assert measured.answer(place, "lanes") == measured.skips[0], "it has ended"
    other = Measured(skips=[Skip("tiny", 16, 2, "lanes", "memory")])
    assert other.answer(place, "batch") == other.skips[0]
