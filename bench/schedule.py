"""Which point of the hardware benchmark comes next, so that the time that was given is shared out and kept.

What is left of the time is shared by the entries that are left; what one does not use is the next one's.
An entry's first curve, which says how many lanes fill the chip, may take half of its share. Of the others
the one with the fewest points goes on, if its next point is expected to end within the share; else it ends,
for a larger one would take longer still. All of this follows from what is measured, so that a benchmark
that was cut short goes on as it would have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench import costs as model
from bench.curves import Curve, curves
from bench.estimate import probe_steps
from bench.points import KINDS, Measured, Skip
from bench.suite import ENTRIES, Benchmark, Entry

FIRST_CURVE = 0.5  # of an entry's share
LEAST, MOST = 3, 30  # dispatches of a kind that are measured
PART = 1 / 600  # of the benchmark's seconds, that a point's dispatches of a kind are measured for
MOST_STEPS = 256  # of a dispatch
MOST_DATA = 1 << 28  # bytes of pictures that more steps may ask for


@dataclass(frozen=True)
class Ask:
    """A point that is to be measured.

    Attributes:
        over: what is being doubled, "lanes" or "batch".
        devices: to spread the lanes over.
        steps: of a dispatch.
        expected_s: what it may take in all.
    """

    entry: str
    batch: int
    lanes: int
    over: str
    devices: int
    steps: int
    expected_s: float


@dataclass(frozen=True)
class Expected:
    """Seconds of compiling, of a step by kind, and of the rest: making data, filling lanes."""

    compile_s: float
    step_s: dict[str, float]
    rest_s: float


def following(
    benchmark: Benchmark, platform: str, devices: int, measured: Measured
) -> Ask | Skip | None:
    """The next point to be measured, or to be left out for want of time; None when all is done.

    Args:
        benchmark: what is to be measured.
        platform: JAX's name of it.
        devices: how many are in use.
        measured: so far. Its times decide what is expected.
    """
    before_s = 0.0
    for number, name in enumerate(benchmark.entries):
        found = list(curves(ENTRIES[name], benchmark, devices, measured))
        share_s = (benchmark.seconds - before_s) / (len(benchmark.entries) - number)
        taken_s = measured.wall_s(name)
        for stage, part in ((found[:1], FIRST_CURVE), (found, 1.0)):
            # Whatever the shares, an entry's first point is worth more than another curve.
            left_s = (part if taken_s else 1.0) * share_s - taken_s
            unfinished = [curve for curve in stage if curve.ended is None]
            if unfinished:
                # Of equals the later: over batch sizes, which have a point of the lanes' curves.
                curve = min(reversed(unfinished), key=lambda curve: len(curve.points))
                return _decided(benchmark, platform, devices, measured, curve, left_s)
        before_s += taken_s
    return None


def _decided(
    benchmark: Benchmark,
    platform: str,
    devices: int,
    measured: Measured,
    curve: Curve,
    left_s: float,
) -> Ask | Skip:
    entry, size = ENTRIES[curve.entry], curve.next
    assert size is not None
    batch, lanes = (curve.fixed, size) if curve.over == "lanes" else (size, curve.fixed)
    used = min(lanes, devices)
    expected = _expected(entry, batch, lanes / used, platform, measured)
    most = max(1, min(MOST_STEPS, MOST_DATA // (batch * entry.image_bytes)))
    steps = probe_steps(expected.step_s["train"], most)
    wall_s = expected.compile_s + expected.rest_s
    for kind in KINDS:
        wall_s += dispatches_s(steps * expected.step_s[kind], benchmark.seconds * PART)
    if wall_s > left_s:
        return Skip(entry.name, batch, lanes, curve.over, "time")
    return Ask(entry.name, batch, lanes, curve.over, used, steps, wall_s)


def dispatches_s(dispatch_s: float, measured_s: float) -> float:
    """What a warm-up and the measured dispatches take."""
    enough = min(max(LEAST * dispatch_s, measured_s + dispatch_s), MOST * dispatch_s)
    return dispatch_s + enough


def timed(dispatch: Callable[[], float], measured_s: float) -> list[float]:
    """Seconds of dispatches, until they are `measured_s` in all; at least `LEAST`, at most `MOST`."""
    seconds: list[float] = []
    while len(seconds) < LEAST or (sum(seconds) < measured_s and len(seconds) < MOST):
        seconds.append(dispatch())
    return seconds


def _expected(
    entry: Entry, batch: int, lanes: float, platform: str, measured: Measured
) -> Expected:
    """From the largest point of the entry that is no larger, as if time grew with the work.

    Args:
        entry: of the suite.
        batch: examples.
        lanes: on each device.
        platform: JAX's name.
        measured: so far.
    """
    smaller = [
        point
        for point in measured.of_entry(entry.name)
        if point.batch <= batch and point.lanes / point.devices <= lanes
    ]
    if not smaller:
        return _first(entry, batch, platform, measured)
    near = max(smaller, key=lambda point: (point.batch * point.lanes / point.devices, point.lanes))
    growth = batch * lanes / (near.batch * near.lanes / near.devices)
    steps_s = {kind: growth * median(near.seconds[kind]) / near.steps for kind in KINDS}
    # Of the dispatches, the warm-ups are not told: each took about as long as another.
    known = sum(sum(s) * (len(s) + 1) / len(s) for s in near.seconds.values())
    rest_s = max(0.0, near.wall_s - near.compile_s - known)
    return Expected(near.compile_s, steps_s, growth * rest_s)


def _first(entry: Entry, batch: int, platform: str, measured: Measured) -> Expected:
    """With one lane: by assumed constants, put right by what single lanes took so far."""
    compile_s, step_s = _modelled(entry, batch, platform)
    alone = [point for point in measured.points.values() if point.lanes == 1]
    if alone:
        modelled = [_modelled(ENTRIES[p.entry], p.batch, platform) for p in alone]
        pairs = list(zip(alone, modelled, strict=True))
        compile_s *= median(p.compile_s / expected for p, (expected, _) in pairs)
        step_s *= median(median(p.seconds["train"]) / p.steps / e for p, (_, e) in pairs)
    return Expected(compile_s, {"train": step_s, "evaluate": step_s / model.PASSES}, 0.0)


def _modelled(entry: Entry, batch: int, platform: str) -> tuple[float, float]:
    """Seconds of compiling, and of a training step of one lane, by assumed constants."""
    costs, trial = model.default(platform), entry.trial(batch)
    layers, shape, family = entry.layers, entry.image_shape, (trial["optimizer"],)
    step = model.iteration(layers, shape, batch) + model.update(entry.parameters, family)
    return costs.seconds(model.compiling(layers, shape, family)), costs.seconds(step)
