"""A machine that takes what it is said to take, for the hardware benchmark's schedule and reports."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench import schedule
from bench.points import KINDS, Measured, Point, Skip
from bench.schedule import Ask
from bench.suite import ENTRIES, Benchmark

Event = dict[str, Any]

START: Event = {
    "event": "benchmark",
    "schema": 1,
    "time": "2026-01-02T03:04:05+00:00",
    "precision": "float32",
    "devices": 0,
    "strategy": "auto",
    "hardware": {"cpu": "Example CPU", "cores": 2, "memory_bytes": 8 * 2**30, "platform": "cpu",
                 "devices": 2, "device_kind": "cpu"},
    "software": {"python": "3.11.9", "jax": "0.10.2", "flax": "0.12.0", "optax": "0.2.6",
                 "git_commit": None, "xla_flags": "", "matmul_precision": "default", "precision": "float32"},
    "energy": "unknown",
}  # fmt: skip
FINISH: Event = {"event": "finish", "reason": "completed", "wall_s": 601.5}


@dataclass(frozen=True)
class Machine:
    """Its devices in turn take `step_s` and `example_s` for each example of each of their lanes.

    Attributes:
        width: lanes of a device that cost no more than one.
        bytes: that a lane's example takes of `memory` on a device.
    """

    devices: int = 2
    compile_s: float = 2.0
    step_s: float = 1e-4
    example_s: float = 1e-5
    width: int = 1
    bytes: int = 1
    memory: int = 1 << 40
    joules: float | None = None

    def step(self, batch: int, lanes: int, devices: int) -> float:
        return self.step_s + self.example_s * batch * max(1, lanes / devices / self.width)

    def answer(self, ask: Ask, measured_s: float) -> Event:
        needed = self.bytes * ask.batch * ask.lanes // ask.devices
        if needed > self.memory:
            skip = Skip(ask.entry, ask.batch, ask.lanes, ask.over, "memory", needed, self.memory,
                        self.compile_s)  # fmt: skip
            return {"event": "skip", **asdict(skip)}
        entry, step_s = ENTRIES[ask.entry], self.step(ask.batch, ask.lanes, ask.devices)
        times = {"train": ask.steps * step_s, "evaluate": ask.steps * step_s / 4}
        seconds = {k: schedule.timed(lambda k=k: times[k], measured_s) for k in KINDS}
        point = Point(
            entry=ask.entry,
            batch=ask.batch,
            lanes=ask.lanes,
            devices=ask.devices,
            strategy="map",
            steps=ask.steps,
            parameters=entry.parameters,
            flops=entry.flops,
            compile_s=self.compile_s,
            peak_bytes=needed,
            wall_s=self.compile_s + sum(times[k] + sum(seconds[k]) for k in KINDS),
            seconds=seconds,
            joules=dict.fromkeys(KINDS, self.joules),
        )
        return {"event": "point", **asdict(point)}

    def run(self, benchmark: Benchmark, measured: Measured) -> Iterator[tuple[Ask | None, Event]]:
        """What is still to come, each with its ask; `measured` takes it in."""
        while True:
            asked = schedule.following(benchmark, "cpu", self.devices, measured)
            if asked is None:
                return
            if isinstance(asked, Skip):
                ask, event = None, {"event": "skip", **asdict(asked)}
            else:
                ask, event = asked, self.answer(asked, schedule.PART * benchmark.seconds)
            measured.add(event)
            yield ask, event


def events(benchmark: Benchmark, machine: Machine) -> list[Event]:
    """A whole journal."""
    start = {**START, "benchmark": benchmark.to_json()}
    start["hardware"] = {**START["hardware"], "devices": machine.devices}
    found = [event for _, event in machine.run(benchmark, Measured())]
    return [start, *found, FINISH]


def read(told: list[Event]) -> Measured:
    measured = Measured()
    for event in told:
        measured.add(event)
    return measured
