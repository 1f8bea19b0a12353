"""What each way to compute a training step takes: lowerings, strategies, short dispatches, XLA's emitters.

And losses of every few steps, which cost too.

    python -m benchmarks.lowerings --works=small,medium,mlp --data_dir=DIR --rounds=5

The works are those of `benchmarks.peers`. Each variant is Convoy with one thing changed; they train in turn,
a dispatch each round, and a ratio is taken within a round.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import fingerprint
from bench.costs import Workload
from bench.device_data import DeviceData
from bench.devices import prepare
from bench.mesh import lane_mesh
from bench.ops import lowerings, native
from bench.plan import ProgramPlan, plan
from bench.probe import program_of
from bench.program import Program
from bench.step import LaneProgram
from bench.timing import Spread, faster, interleaved
from benchmarks.works import WORKS, Work

STEPS, FEW_STEPS = 20, 4  # of a dispatch, at most, but where it says one; of what is slow on a CPU
SLOW = ("reference", "direct", "mixed")
CURVES = {f"--curve_every={n}": n for n in (1, 10)}


def programs(work: Work, data_dir: Path | None, names: list[str]) -> Mapping[str, Program]:
    """Compiled and filled programs of a work, by what is changed; "as it is" is what is likely best."""
    devices, dataset = prepare(0, 1, "float32", None), work.load(data_dir)
    sizes = Workload(dataset.image_shape, dataset.classes, len(dataset.train), dataset.evaluated)
    trials = work.trials(work.lanes)
    machine = fingerprint.machine(devices)
    (base,) = plan(trials, sizes, machine, len(trials), mode="fewest").programs
    data = DeviceData(dataset, lane_mesh(devices))
    base = replace(base, steps=_steps(work, STEPS))
    sites = LaneProgram(base, dataset.image_shape, len(dataset.train), "float32").sites

    def lowered(name: str, steps: int) -> ProgramPlan:
        chosen = {str(site): lowerings.of_set(site, name, np.float32) for site in sites}
        return replace(base, lowerings=chosen, steps=steps)

    plans = {"as it is": replace(base)}
    for name in ("native", "im2col", *SLOW):
        if name != "native" or native.available():
            plans[f"--lowering={name}"] = lowered(
                name, _steps(work, FEW_STEPS if name in SLOW else STEPS)
            )
    plans["a step a dispatch"] = replace(base, steps=1)
    for strategy in ("map", "vmap", "vmap:2"):
        plans[f"--strategy={strategy}"] = base.with_strategy(strategy)
    plans["XLA's newer emitters"] = replace(base, thorough=True)
    plans |= dict.fromkeys(CURVES, base)
    if names:
        plans = {n: p for n, p in plans.items() if n == "as it is" or n in names}
    found = {
        name: program_of(one, trials[0], data, curve_every=CURVES.get(name, 0))
        for name, one in plans.items()
    }
    for program in found.values():
        program.compile()
        program.fill()
    return found


def _steps(work: Work, most: int) -> int:
    """Of dispatches that are all alike: a divisor of the epoch's."""
    return max(n for n in range(1, most + 1) if work.steps % n == 0)


def table(name: str, found: Mapping[str, Program], rounds: int) -> Table:
    """Milliseconds of a step and trial, and how many times faster "as it is" is."""

    def dispatch(program: Program) -> Any:
        program.train()

    samples = interleaved({n: lambda p=p: dispatch(p) for n, p in found.items()}, rounds)  # type: ignore[misc]
    ms = {n: 1000 * s / found[n].plan.steps / found[n].plan.lanes for n, s in samples.items()}
    told = Table(
        "variant", "ms per step and trial", "times as long", "seconds of compiling", title=name
    )
    for variant, values in ms.items():
        ratio = faster(ms["as it is"], values)
        spread = f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.greatest:.2f})"
        middle = Spread.of(values).median
        told.add_row(variant, f"{middle:.3g}", spread, f"{found[variant].ready.compile_s:.1f}")
    return told


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lowerings", description=__doc__)
    parser.add_argument("--works", default="small,medium,mlp")
    parser.add_argument("--variants", default="", help="by commas; all if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data_dir", type=Path)
    arguments = parser.parse_args()
    console, variants = Console(width=110), list(filter(None, arguments.variants.split(",")))
    for name in arguments.works.split(","):
        found = programs(WORKS[name], arguments.data_dir, variants)
        console.print(table(name, found, arguments.rounds))


if __name__ == "__main__":
    main()
