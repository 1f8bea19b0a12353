"""Programs that are compiled and run to be timed: one trial in all lanes, in the same code as a sweep's."""

import math
import time
from collections.abc import Callable
from typing import Any

from bench.device_data import DeviceData
from bench.lanes import Lanes
from bench.memory import OutOfMemoryError
from bench.plan import ProgramPlan
from bench.program import Program
from bench.trial import Trial


def program_of(
    plan: ProgramPlan,
    trial: Trial,
    data: DeviceData,
    dtype: Any = "float32",
    free: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
    curve_every: int = 0,
) -> Program:
    """A program for whose every lane the trial waits, to be compiled and filled.

    Args:
        plan: of that trial.
        trial: in all lanes.
        data: to train on.
        dtype: of parameters and arithmetic.
        free: bytes that may be taken on each device. If it needs more, compiling sets the program's `error`.
        clock: seconds, monotonic.
        curve_every: see `Program`.
    """

    def compiled(plan: ProgramPlan, trial: Trial) -> Lanes:
        lanes = Lanes(plan, data, dtype, clock, curve=bool(curve_every))
        lanes.compile(trial)
        if lanes.bytes_needed > free:
            raise OutOfMemoryError(lanes.bytes_needed, int(free))
        return lanes

    program = Program(plan, compiled, curve_every=curve_every)
    program.waiting.extend([trial] * plan.lanes)
    return program
