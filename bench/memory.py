"""How much memory there is, and how many lanes of a program it holds.

XLA says what a compiled program needs; the device, or the container on a CPU, says what is free. On a CPU
running out is no exception but the end of the process, so lanes are counted before they are opened.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
from jax.errors import JaxRuntimeError

from bench import host
from bench.errors import ConvoyError
from bench.lanes import Lanes
from bench.plan import ProgramPlan
from bench.trial import Trial

SHARE = 0.8  # of what is free; the rest is for what XLA and the host need beside it
BYTES, LEAST_COPIES = 4, 2  # of a parameter; it and its gradient
WORTHWHILE = 1.5  # more lanes than planned are compiled for only if they are this many times more


class OutOfMemoryError(ConvoyError):
    """A program that does not fit the devices even with one lane on each.

    Attributes:
        needed, available: bytes on one device.
    """

    def __init__(self, needed: int, available: int):
        self.needed, self.available = needed, available
        super().__init__(
            f"needs at least {needed / 1e9:.3g} GB of memory where {available / 1e9:.3g} GB are free; "
            "use a smaller batch or image, narrower layers, --devices=1 on a CPU, or --batch_devices"
        )


def is_exhausted(error: Exception) -> bool:
    """Whether a device, or the host beside it, had no memory left."""
    said = isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return said or isinstance(error, MemoryError)


def free_bytes(device: jax.Device, devices: int) -> int:
    """What may be taken on a device now; a CPU's devices share the machine's memory in equal parts.

    Args:
        device: of this process.
        devices: how many are in use.
    """
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats:
        return int(SHARE * (stats["bytes_limit"] - stats["bytes_in_use"]))
    return int(SHARE * host.free_bytes() / devices)


def fitted(
    plan: ProgramPlan,
    trial: Trial,
    make: Callable[[ProgramPlan], Lanes],
    free: int,
    fixed: bool = False,
) -> Lanes:
    """Compiled lanes of a program: as many as planned if they fit, fewer if not, more if it is worth it.

    Args:
        plan: with the lanes that were planned from an estimate.
        trial: one of the program's.
        make: lanes of a plan, yet to be compiled.
        free: bytes that may be taken on each device.
        fixed: the user said how many lanes: there will not be more.

    Raises:
        OutOfMemoryError: one lane on each device is too many.
    """
    most = plan.lanes if fixed else len(plan.trials)
    compile_s, least = 0.0, LEAST_COPIES * BYTES * plan.parameters
    if least > free:  # not worth compiling to know by how much
        raise OutOfMemoryError(least, free)
    while True:
        lanes = make(plan)
        lanes.compile(trial)
        compile_s += lanes.compile_s
        devices = lanes.data.mesh.shape["lanes"]
        needed = lanes.bytes_needed
        fit = max(devices, _lanes_that_fit(plan, needed, lanes.lane_bytes, free, devices))
        if needed > free and plan.lanes > devices:
            plan = replace(plan, lanes=min(fit, plan.lanes - devices))
        elif needed > free:
            raise OutOfMemoryError(needed, free)
        elif plan.beside and min(fit, most) >= WORTHWHILE * plan.lanes:
            plan = replace(plan, lanes=-(-min(fit, most) // devices) * devices)
        else:
            lanes.compile_s = compile_s
            return lanes
        most = plan.lanes


def _lanes_that_fit(plan: ProgramPlan, needed: int, lane: int, free: int, devices: int) -> int:
    """K for which a program would need `free` bytes, from what it needs with its own K."""
    here = plan.lanes // devices
    if plan.beside:  # everything grows with the lanes
        return int(here * free / max(needed, 1)) * devices
    fixed = needed - here * lane  # in turn, only states do
    return int((free - fixed) / max(lane, 1)) * devices
