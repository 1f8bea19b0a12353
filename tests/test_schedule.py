"""Time is shared out and kept, by a made-up machine that takes what it is said to take."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import schedule
from bench.curves import curves
from bench.points import Measured, Point
from bench.report.scaling import all_curves
from bench.schedule import LEAST, MOST, MOST_DATA, Ask, dispatches_s, timed
from bench.suite import ENTRIES, Benchmark
from tests.made_up_machine import Machine, events, read

MACHINES = st.builds(
    Machine,
    devices=st.sampled_from([1, 2, 6]),
    compile_s=st.floats(0.01, 60),
    step_s=st.floats(1e-6, 1e-2),
    example_s=st.floats(1e-8, 1e-2),
    width=st.sampled_from([1, 8, 1000]),
    bytes=st.integers(0, 1000),
    memory=st.integers(0, 1 << 20),
)
BENCHMARKS = st.builds(
    Benchmark,
    entries=st.lists(st.sampled_from(list(ENTRIES)), min_size=1, unique=True).map(tuple),
    seconds=st.floats(1, 5000),
    lanes=st.integers(1, 64),
    batch=st.sampled_from([64, 100, 1024]),
)
DRAWN = settings(deadline=None, max_examples=60, database=None)


@given(BENCHMARKS, MACHINES)
@DRAWN
def test_the_time_is_kept(benchmark: Benchmark, machine: Machine) -> None:
    """Nothing begins that is expected to end too late. Only an entry's first point can surprise: of all
    others a smaller one is known, and this machine's time grows no faster than the work."""
    measured, spent = Measured(), 0.0
    for ask, event in machine.run(benchmark, measured):
        if ask is None:
            assert event["why"] == "time"
            continue
        assert spent + ask.expected_s <= benchmark.seconds * (1 + 1e-9)
        first = len(measured.of_entry(ask.entry)) == 1
        if event["event"] == "point" and not first:
            assert event["wall_s"] <= ask.expected_s * (1 + 1e-6)
        spent += event["wall_s"]
    assert spent == pytest.approx(measured.wall_s())


@given(BENCHMARKS, MACHINES, st.data())
@DRAWN
def test_cut_anywhere_it_goes_on_as_it_would_have(
    benchmark: Benchmark, machine: Machine, data: st.DataObject
) -> None:
    whole = [event for _, event in machine.run(benchmark, Measured())]
    kept = data.draw(st.integers(0, len(whole)))
    measured = read(json.loads(json.dumps(whole[:kept])))
    assert [event for _, event in machine.run(benchmark, measured)] == whole[kept:]


@given(BENCHMARKS, MACHINES)
@DRAWN
def test_every_curve_ends_and_says_why(benchmark: Benchmark, machine: Machine) -> None:
    measured = read(events(benchmark, machine))
    found = all_curves(measured)
    assert {curve.entry for curve in found} == set(benchmark.entries)
    for curve in found:
        assert curve.ended in ("time", "memory", "limit")
        largest = max(curve.sizes, default=0)
        most = benchmark.lanes if curve.over == "lanes" else benchmark.batch
        assert largest <= most
        if curve.ended == "limit":
            assert 2 * largest > most or (curve.over == "lanes" and largest < machine.devices)
        if curve.ended == "memory":
            size = {"lanes": curve.fixed, "batch": curve.fixed, curve.over: curve.next}
            devices = min(size["lanes"], machine.devices)
            assert machine.bytes * size["batch"] * size["lanes"] // devices > machine.memory


@given(st.floats(1e-6, 1e3), st.floats(1e-3, 1e3))
@DRAWN
def test_the_number_of_dispatches_and_what_they_take(dispatch_s: float, wanted_s: float) -> None:
    seconds = timed(lambda: dispatch_s, wanted_s)
    assert LEAST <= len(seconds) <= MOST
    assert len(seconds) in (LEAST, MOST) or sum(seconds[:-1]) < wanted_s <= sum(seconds)
    assert dispatch_s + sum(seconds) <= dispatches_s(dispatch_s, wanted_s) * (1 + 1e-9)


def test_what_one_entry_leaves_is_the_others() -> None:
    """Tiny ends at its limits; what it did not need of half the time is vgg's."""
    machine = Machine(compile_s=1.0, example_s=1e-5)
    both = read(
        events(Benchmark(entries=("tiny", "vgg"), seconds=200.0, lanes=2, batch=64), machine)
    )
    assert {c.ended for c in all_curves(both) if c.entry == "tiny"} == {"limit"}
    short = Benchmark(entries=("tiny", "vgg"), seconds=60.0, lanes=512, batch=65_536)
    shared = read(events(short, machine))
    assert 0.3 < shared.wall_s("tiny") / short.seconds <= 0.5
    assert 0.3 < shared.wall_s("vgg") / short.seconds <= 0.6


def test_every_curve_gets_its_points() -> None:
    benchmark = Benchmark(entries=("small",), seconds=120.0)
    measured = read(events(benchmark, Machine(example_s=1e-4)))
    found = list(curves(ENTRIES["small"], benchmark, 2, measured))
    assert len(found) == 4
    assert all(len(curve.points) >= 4 for curve in found)


def test_pictures_are_bounded() -> None:
    """A machine that is so fast that dispatches of a tenth of a second would need gigabytes."""
    measured, machine = Measured(), Machine(step_s=0, example_s=1e-9, compile_s=0.1)
    asks = [ask for ask, _ in machine.run(Benchmark(entries=("alexnet",)), measured) if ask]
    held = [ask.steps * ask.batch * ENTRIES["alexnet"].image_bytes for ask in asks]
    assert max(held) > MOST_DATA / 2
    assert all(h <= MOST_DATA or ask.steps == 1 for h, ask in zip(held, asks, strict=True))


def test_the_first_point_is_expected_by_what_others_took() -> None:
    """A machine that compiles ten times as long as is assumed is believed after its first entry."""
    slow = Machine(compile_s=25.0)
    benchmark = Benchmark(entries=("tiny", "small"), seconds=1000.0)
    asks = [(ask, e) for ask, e in slow.run(benchmark, Measured()) if ask]
    first = {}
    for ask, event in asks:
        first.setdefault(ask.entry, ask.expected_s / event["wall_s"])
    assert first["tiny"] < 0.2
    assert 0.5 < first["small"] < 3


def test_no_time_at_all_measures_nothing() -> None:
    found = events(Benchmark(seconds=1e-6), Machine())
    assert {event["why"] for event in found if event["event"] == "skip"} == {"time"}
    assert not any(event["event"] == "point" for event in found)


def test_dispatches_are_about_a_tenth_of_a_second() -> None:
    benchmark = Benchmark(entries=("tiny",), seconds=600.0, lanes=8, batch=64)
    asks = [ask for ask, _ in Machine(step_s=1e-3).run(benchmark, Measured())]
    for ask in asks[1:]:
        assert isinstance(ask, Ask)
        seconds = ask.steps * Machine(step_s=1e-3).step(ask.batch, ask.lanes, ask.devices)
        assert 0.02 < seconds < 0.3


def test_one_lane_is_on_one_device() -> None:
    measured = read(events(Benchmark(entries=("tiny",), lanes=16), Machine(devices=6)))
    used = {p.lanes: p.devices for p in measured.points.values() if isinstance(p, Point)}
    assert used == {1: 1, 2: 2, 4: 4, 6: 6, 12: 6}
    assert schedule.following(Benchmark(entries=("tiny",), lanes=16), "cpu", 6, measured) is None
