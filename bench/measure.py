"""What programs cost on this machine: probes compiled and run once, and constants fitted to their times.

    python -m bench.measure          # prints the constants and keeps them for plans to come

The probes differ in what the constants of `Costs` stand for: layers, arithmetic, parameters, families of
optimizers, accumulated batches. Their times are noisy and few, so the fit is in ratios, held near what is
assumed elsewhere, which keeps every constant positive and none absurd.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from scipy.optimize import least_squares

from bench import costs as model
from bench import fingerprint, host, measured
from bench.costs import Amounts, Costs, Workload
from bench.data.noise import noise
from bench.device_data import DeviceData
from bench.errors import ConvoyError
from bench.estimate import probe_steps
from bench.mesh import lane_mesh
from bench.plan import ProgramPlan, plan
from bench.probe import program_of
from bench.program import Program
from bench.trial import Trial

ROUNDS = 5  # dispatches of each probe, interleaved; the first is its warm-up
EXAMPLES, SIDE, CLASSES = 1024, 16, 10
CONSTANTS = tuple(f.name for f in fields(Costs) if f.name.endswith("_s"))
DOUBT = 0.2  # weight of an assumed constant against a measured time, both in logarithms
OUTLIER = 0.3  # a ratio's logarithm from which on a time counts less, for it is likely an accident

# Few layers and many, narrow and wide, one family and three, whole batches and accumulated ones.
PROBES: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"features": 8, "filter_repeats": 1, "units": 32, "batch_size": 16, "optimizer": "sgd"},),
    ({"features": 32, "filter_repeats": 3, "units": 64, "batch_size": 64, "optimizer": "adam"},),
    (
        {"model": "mlp", "units": 512, "dense_layers": 3, "batch_size": 32, "optimizer": "adam"},
        {"model": "mlp", "units": 512, "dense_layers": 3, "batch_size": 64, "optimizer": "sgd"},
        {"model": "mlp", "units": 384, "dense_layers": 3, "batch_size": 32, "optimizer": "rmsprop",
         "activation": "tanh"},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """One measured time, seconds, and the work that it is of."""

    amounts: Amounts
    seconds: float


def measure(devices: Sequence[jax.Device]) -> Costs:
    """The constants of these devices.

    Args:
        devices: of one kind; a few lanes run on each.
    """
    dataset = noise(EXAMPLES, (SIDE, SIDE, 1), CLASSES, tested=EXAMPLES)
    workload = Workload(dataset.image_shape, CLASSES, EXAMPLES, EXAMPLES)
    machine = fingerprint.machine(list(devices))
    data = DeviceData(dataset, lane_mesh(devices))
    assumed = replace(
        model.default(machine.platform), chip=fingerprint.chip(devices), devices=len(devices)
    )
    programs = []
    for settings in PROBES:
        trials = [Trial.create(s, {"probe": lane}) for lane, s in enumerate(settings)]
        lanes = len(devices) * (1 if machine.platform == "cpu" else 8)
        (probe,) = plan(trials, workload, machine, lanes, mode="fewest").programs
        expected_s = assumed.seconds(_dispatch(replace(probe, steps=1), data))
        steps = probe_steps(expected_s, -(-EXAMPLES // probe.microbatch))
        programs.append(program_of(replace(probe, steps=steps), trials[0], data))
    # As in a sweep: compiled side by side, run one after another.
    with _compiled_anew(), ThreadPoolExecutor(host.cores()) as threads:
        list(threads.map(Program.compile, programs))
    probes = [_compiling(program) for program in programs]
    for program in programs:
        program.fill()
    probes += _running(programs)
    return replace(fitted(probes, assumed), measured=datetime.now(UTC).date().isoformat())


@contextmanager
def _compiled_anew() -> Iterator[None]:
    """Without JAX's cache of compiled programs: reading one is not compiling it."""
    enabled = getattr(jax.config, "jax_enable_compilation_cache", True)
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()  # JAX asks once for all whether there is one
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", enabled)
        reset_cache()


def _compiling(program: Program) -> Probe:
    plan, shape = program.plan, (SIDE, SIDE, 1)
    amounts = model.compiling(plan.layers, shape, plan.optimizers, plan.accumulates)
    return Probe(amounts, program.ready.compile_s)


def _running(programs: Sequence[Program]) -> list[Probe]:
    """Seconds of a dispatch of each, interleaved so that a busy moment falls on all."""
    taken: list[list[float]] = [[] for _ in programs]
    for _ in range(ROUNDS):
        for program, seconds in zip(programs, taken, strict=True):
            seconds.append(program.train()["seconds"])
    return [
        Probe(_dispatch(p.plan, p.ready.data), median(s[1:]))
        for p, s in zip(programs, taken, strict=True)
    ]


def _dispatch(plan: ProgramPlan, data: DeviceData) -> Amounts:
    """The work of one dispatch on each device: S iterations, each an update, of its lanes."""
    shape, here = (SIDE, SIDE, 1), plan.lanes // data.mesh.shape["lanes"]
    beside = plan.beside
    one = model.iteration(
        plan.layers, shape, plan.microbatch, plan.accumulates, plan.augment, beside
    )
    # In turn, an update is the lane's own: that of the first trial, which sits in all lanes.
    one += model.update(plan.parameters, plan.optimizers if beside else plan.optimizers[:1])
    return model.of_lanes(one, here, beside) * plan.steps


def fitted(probes: Sequence[Probe], assumed: Costs) -> Costs:
    """The constants that come nearest to the probes' times, in ratios.

    Args:
        probes: of compiling and of running.
        assumed: what the fit starts from, and is held near where the probes say little.
    """
    names = [name for name in CONSTANTS if getattr(assumed, name) > 0]

    def constants(logs: np.ndarray) -> Costs:
        values = zip(names, np.exp(logs).tolist(), strict=True)
        return replace(assumed, **{n: getattr(assumed, n) * v for n, v in values})

    def residuals(logs: np.ndarray) -> list[float]:
        costs = constants(logs)
        errors = [math.log(costs.seconds(p.amounts) / p.seconds) for p in probes]
        return [*errors, *(DOUBT * logs)]

    found = least_squares(residuals, np.zeros(len(names)), loss="soft_l1", f_scale=OUTLIER)
    return constants(found.x)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, keeps; returns the exit code: 0, or 2 where that is not possible."""
    from bench.devices import prepare
    from bench.options import CACHE_DIR

    parser = argparse.ArgumentParser(
        prog="python -m bench.measure", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--cache_dir", type=Path, default=CACHE_DIR, help="default: %(default)s")
    parser.add_argument("--devices", type=int, default=0, help="how many to use, 0 for all")
    options = parser.parse_args(arguments)
    try:
        costs = measure(prepare(options.devices, 1, "float32", None))
        path = measured.save(costs, options.cache_dir)
    except (ConvoyError, OSError) as error:
        print(f"convoy: {error}", file=sys.stderr)
        return 2
    print(f"{costs.chip}, measured {costs.measured}, kept in {path}")
    for name in CONSTANTS:
        value = getattr(costs, name)
        unit = {"flops_per_s": "FLOP/s", "bytes_per_s": "B/s"}.get(name, "s")
        print(f"{name:20} {value:.3g} {unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
