"""Peaks: exact by a made-up clock, sound by a real one, and of loops in which nothing is left out."""

import math
import re

import jax
import numpy as np
import pytest

from bench import peaks
from bench.mesh import lane_mesh
from bench.peaks import Probe, Sizes

FREE = 1 << 30


class Ticking:
    """A clock that is read at even intervals."""

    def __init__(self, tick_s: float):
        self.now, self.tick_s = 0.0, tick_s

    def __call__(self) -> float:
        self.now += self.tick_s
        return self.now


@pytest.fixture(autouse=True)
def dispatch(monkeypatch):
    monkeypatch.setattr(peaks, "DISPATCH_S", 0.02)


@pytest.fixture
def two():
    return lane_mesh(jax.devices()[:2])


@pytest.mark.parametrize("devices", [1, 3])
def test_by_a_clock_that_ticks_the_figures_are_exact(devices):
    """Every dispatch takes 1/32 s, long enough with one repeat."""
    sizes, clock = Sizes((8, 16), 1 << 12), Ticking(1 / 32)
    found = peaks.measure(jax.devices()[:devices], "float32", FREE, sizes, clock)
    assert found.flops_per_s == devices * 2 * 8**3 * 32
    assert found.bytes_per_s == devices * 2 * 4096 * 32
    assert (found.precision, found.matrix, found.array_bytes) == ("float32", 8, 4096)
    assert found.n == found.flops_spread.n == found.bytes_spread.n > 0
    assert found.flops_spread.median == found.flops_spread.p95 == found.flops_per_s
    assert found.seconds == clock.now - 1 / 32


def test_larger_matrices_are_tried_while_a_dispatch_repeats_them(monkeypatch):
    """At 1/64 s a dispatch the first is doubled, without end by this clock; so each is tried."""
    monkeypatch.setattr(peaks, "MOST_REPEATS", 4)
    sizes, clock = Sizes((8, 16), 1 << 12), Ticking(1 / 64)
    found = peaks.measure(jax.devices()[:1], "float32", FREE, sizes, clock)
    assert found.matrix == 16
    assert found.flops_per_s == 4 * 2 * 16**3 * 64
    assert found.bytes_per_s == 4 * 2 * 4096 * 64


def test_the_best_dispatch_is_the_peak_and_the_others_stay_in_the_spread(monkeypatch):
    seconds = {"16": [0.5, 0.25, 1.0], "memory": [2.0, 4.0, 1.0]}
    taken = {name: np.array(values) for name, values in seconds.items()}
    monkeypatch.setattr(peaks, "interleaved", lambda *_, **__: taken)
    clock = Ticking(1.0)
    found = peaks.measure(jax.devices()[:1], "float32", FREE, Sizes((16,), 1 << 12), clock)
    assert (found.flops_per_s, found.bytes_per_s, found.n) == (2 * 16**3 * 4, 2 * 4096, 3)
    assert found.flops_spread.median == 2 * 16**3 * 2
    assert found.bytes_spread.median == 4096


def test_a_round_is_taken_even_where_the_warm_up_took_all_the_time(monkeypatch):
    monkeypatch.setattr(peaks, "BUDGET_S", -1.0)
    found = peaks.measure(jax.devices()[:1], "float32", FREE, Sizes((8,), 1 << 12), Ticking(0.1))
    assert found.n == 1


def test_repeats_double_until_a_dispatch_is_long():
    class Clock:
        now = 0.0

    def run(state, repeats):
        Clock.now += 0.003 * int(repeats)

    probe = Probe(run, None, 1.0)
    probe.fill(lambda: Clock.now)
    assert probe.repeats == 8  # 24 ms, where 4 are 12
    assert Clock.now == pytest.approx(0.003 * (1 + 1 + 2 + 4 + 8))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_measured_on_this_machine_they_are_positive_and_finite(precision, monkeypatch):
    monkeypatch.setattr(peaks, "DISPATCH_S", 1e-3)
    found = peaks.measure(jax.devices()[:2], precision, FREE, Sizes((32, 64), 1 << 16))
    for rate, spread in (
        (found.flops_per_s, found.flops_spread),
        (found.bytes_per_s, found.bytes_spread),
    ):
        assert 0 < spread.p5 <= spread.median <= spread.p95 <= rate < math.inf
    assert 0 < found.seconds < math.inf
    assert found.to_json()["flops_spread"]["n"] == found.n


@pytest.mark.parametrize("repeats", range(6))
def test_every_product_is_in_the_result(two, repeats):
    """Which is the matrix times that power of the other one, and no power equals another."""
    probe = peaks.multiplying(two, 24, np.dtype("float64"))
    matrix, orthogonal = (np.asarray(part) for part in probe.state)
    probe.repeats = repeats
    found = np.asarray(probe()[0])
    expected = [
        m @ np.linalg.matrix_power(o, repeats) for m, o in zip(matrix, orthogonal, strict=True)
    ]
    assert found == pytest.approx(np.stack(expected), abs=1e-12)
    assert np.abs(found - np.asarray(probe()[0])).max() > 0.1 or repeats == 0


def test_numbers_keep_their_size_however_often_they_are_multiplied(two):
    probe = peaks.multiplying(two, 24, np.dtype("float32"))
    before = np.linalg.norm(probe.state[0])
    probe.repeats = 10_000
    assert np.linalg.norm(probe()[0]) == pytest.approx(before, rel=1e-2)


@pytest.mark.parametrize("repeats", [0, 1, 7])
def test_every_number_is_rewritten_as_often_as_it_is_counted(two, repeats):
    probe = peaks.rewriting(two, 1000, np.dtype("float32"))
    probe.repeats = repeats
    assert (np.asarray(probe()[0]) == repeats).all()
    assert (np.asarray(probe()[0]) == 2 * repeats).all()  # and goes on from there


@pytest.mark.parametrize(
    ("make", "size", "work"),
    [(peaks.multiplying, 64, "flops"), (peaks.rewriting, 4096, "bytes accessed")],
)
def test_one_loop_does_all_the_counted_work_and_nothing_else_does_any(two, make, size, work):
    """XLA counts a loop's body once, so that its count is of one repeat; arrays beside the state would be
    copies that nobody counts, but for the one product that cannot be written over what it reads.
    """
    probe = make(two, size, np.dtype("float32"))
    compiled = probe.run
    assert len(re.findall(r" while\(", compiled.as_text())) == 1
    here = probe.amount / 2
    assert here <= compiled.cost_analysis()[work] <= 1.1 * here
    assert (
        compiled.memory_analysis().temp_size_in_bytes <= (64 * 64 * 4 if size == 64 else 0) + 1024
    )
    assert compiled.memory_analysis().alias_size_in_bytes > 0


def test_arrays_stay_within_what_is_free():
    whole = Sizes((256, 512, 1024), 64 << 20)
    assert whole.within(1 << 30, 4) == whole
    assert whole.within(16 << 20, 4) == Sizes((256, 512), 8 << 20)
    assert whole.within(16 << 20, 8) == Sizes((256, 512), 8 << 20)
    assert whole.within(1 << 20, 4) == Sizes((256,), 1 << 19)
