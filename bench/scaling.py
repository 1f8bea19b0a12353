"""The hardware benchmark's loop: points measured in turn, each in the journal before the next begins.

    ask ─► noise on the devices ─► plan ─► compile ─► does it fit? ─► fill ─► train × n ─► evaluate × n

What is measured is a sweep's own code with one trial in all lanes. A training dispatch is a scan over S
steps, an evaluation is as many batches; both see each of S·B pictures once (B examples a batch).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import jax

from bench import memory, schedule
from bench.costs import Workload
from bench.data.dataset import TRAIN_SUBSET, Dataset
from bench.data.noise import noise
from bench.device_data import DeviceData
from bench.energy import Meter
from bench.fingerprint import machine
from bench.journal import Journal
from bench.memory import OutOfMemoryError
from bench.mesh import lane_mesh
from bench.plan import ProgramPlan, plan
from bench.points import Measured, Skip
from bench.probe import program_of
from bench.program import Program
from bench.schedule import Ask
from bench.suite import CLASSES, ENTRIES, Benchmark, Entry

_COPIES = 2  # of the pictures on a device: to train on, and to evaluate
_PICTURES = 1 / 8  # of what is free, that more than one step's may take


class Scaling:
    """Measures what is missing of a benchmark.

    Args:
        benchmark: what is measured.
        precision: of parameters and arithmetic.
        strategy: "map", "vmap" or "auto".
        devices: all in use, of one kind.
        journal: where each point is written as it is measured.
        measured: what the journal holds; points are added as they come.
        meter: of the devices' energy.
        clock: seconds, monotonic.
        free: bytes that may be taken on a device, of so many in use.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        precision: str,
        strategy: str,
        devices: Sequence[jax.Device],
        journal: Journal,
        measured: Measured,
        meter: Meter,
        clock: Callable[[], float] = time.perf_counter,
        free: Callable[[jax.Device, int], int] = memory.free_bytes,
    ):
        self.benchmark, self.precision, self.strategy = benchmark, precision, strategy
        self.devices, self.journal, self.measured = devices, journal, measured
        self.meter, self.clock, self.free = meter, clock, free

    def run(self, begun: Callable[[Ask], None], ended: Callable[[str], None]) -> None:
        """Measures all that time and memory allow.

        Args:
            begun: told of each point before it is measured.
            ended: told the name of each entry when all of it is known.
        """
        platform, count = self.devices[0].platform, len(self.devices)
        for name in self.benchmark.entries:
            while True:
                asked = schedule.following(self.benchmark, platform, count, self.measured)
                if asked is None or asked.entry != name:
                    break
                if isinstance(asked, Skip):
                    self._record("skip", asdict(asked))
                else:
                    begun(asked)
                    self._record(*self._point(asked))
            ended(name)

    def _record(self, kind: str, fields: Mapping[str, Any]) -> None:
        event = {"event": kind, **fields}
        self.journal.append(event)
        self.measured.add(event)

    def _point(self, asked: Ask) -> tuple[str, dict[str, Any]]:
        """The event of a point: its times, or that memory does not hold it."""
        start = self.clock()
        try:
            kind, found = "point", self._measured(asked)
        except OutOfMemoryError as error:
            kind, found = "skip", _no_memory(asked, error.needed, error.available)
        except jax.errors.JaxRuntimeError as error:  # an accelerator's own word for it
            if not memory.is_exhausted(error):
                raise
            kind, found = "skip", _no_memory(asked, None, None)
        return kind, {**found, "wall_s": self.clock() - start}

    def _measured(self, asked: Ask) -> dict[str, Any]:
        entry, devices = ENTRIES[asked.entry], self.devices[: asked.devices]
        asked = replace(asked, steps=self._steps(entry, asked))
        dataset = pictures(entry, asked.batch * asked.steps)
        data = DeviceData(dataset, lane_mesh(devices))
        program_plan = self._plan(entry, asked, devices, dataset)
        program = self._program(entry, asked, program_plan, data)
        try:
            program.compile()
            if program.error:
                raise program.error
            program.fill()
            train = self._timed(lambda: program.train()["seconds"])
            evaluate = self._timed(lambda: program.ready.evaluate()[1])
        finally:
            if program.lanes:
                program.close()
        return {
            **{
                name: getattr(asked, name)
                for name in ("entry", "batch", "lanes", "devices", "steps")
            },
            "strategy": program_plan.strategy,
            "parameters": entry.parameters,
            "flops": entry.flops,
            "compile_s": program.ready.compile_s,
            "peak_bytes": program.ready.peak_bytes,
            "seconds": {"train": train[0], "evaluate": evaluate[0]},
            "joules": {"train": train[1], "evaluate": evaluate[1]},
        }

    def _steps(self, entry: Entry, asked: Ask) -> int:
        """Those asked for, or fewer if memory is short: pictures are no part of what XLA counts."""
        needed = _COPIES * entry.image_bytes * asked.batch
        if self.devices[0].platform == "cpu":  # the host's own copies are in the same memory
            needed *= 2
        available = self.free(self.devices[0], asked.devices)
        if needed > available:
            raise OutOfMemoryError(needed, available)
        return min(asked.steps, max(1, int(_PICTURES * available / needed)))

    def _plan(
        self, entry: Entry, asked: Ask, devices: Sequence[jax.Device], dataset: Dataset
    ) -> ProgramPlan:
        examples, trial = len(dataset.train), entry.trial(asked.batch)
        workload = Workload(entry.image_shape, CLASSES, examples, dataset.evaluated)
        (found,) = plan(
            [trial], workload, machine(devices), asked.lanes, self.strategy, mode="fewest"
        ).programs
        return replace(found, steps=asked.steps, evaluation_batch=asked.batch)

    def _program(self, entry: Entry, asked: Ask, program: ProgramPlan, data: DeviceData) -> Program:
        devices = data.mesh.devices.size
        free = self.free(data.mesh.devices.flat[0], devices)
        least = memory.LEAST_COPIES * memory.BYTES * entry.parameters * asked.lanes // devices
        if least > free:  # not worth compiling to know by how much
            raise OutOfMemoryError(least, free)
        trial = entry.trial(asked.batch)
        return program_of(program, trial, data, self.precision, free, self.clock)

    def _timed(self, dispatch: Callable[[], float]) -> tuple[list[float], float | None]:
        """Seconds of dispatches after a warm-up, and the joules of all of them."""
        dispatch()
        before = self.meter.joules()
        seconds = schedule.timed(dispatch, schedule.PART * self.benchmark.seconds)
        after = self.meter.joules()
        # No joules at all means that the counter did not move in so short a time.
        return seconds, None if before is None or after is None else (after - before or None)


def pictures(entry: Entry, examples: int) -> Dataset:
    """Noise to train on, of which an evaluation sees each example once."""
    tested = examples - min(TRAIN_SUBSET, examples)
    return noise(examples, entry.image_shape, CLASSES, tested)


def _no_memory(asked: Ask, needed: int | None, available: int | None) -> dict[str, Any]:
    skip = Skip(asked.entry, asked.batch, asked.lanes, asked.over, "memory", needed, available)
    return asdict(skip)
