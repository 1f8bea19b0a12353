"""A trial alone: on one device, or its examples spread over several.

    python -m benchmarks.alone --works=small,medium,mlp --data_dir=DIR --rounds=7

The works are those of `benchmarks.peers`, one trial of each. Both train in turn, a dispatch each round, and a
ratio is taken within a round.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import fingerprint
from bench.costs import Workload
from bench.device_data import DeviceData
from bench.devices import prepare
from bench.mesh import lane_mesh
from bench.plan import plan
from bench.probe import program_of
from bench.program import Program
from bench.timing import Spread, faster, interleaved
from benchmarks.works import WORKS, Work

STEPS = 20  # of a dispatch, at most


def programs(work: Work, data_dir: Path | None) -> Mapping[int, Program]:
    """Compiled and filled programs of one trial, by the devices that share its examples."""
    devices, dataset = prepare(0, 1, "float32", None), work.load(data_dir)
    sizes = Workload(dataset.image_shape, dataset.classes, len(dataset.train), dataset.evaluated)
    (trial,), found = work.trials(1), {}
    for shares in (n for n in range(1, len(devices) + 1) if len(devices) % n == 0):
        machine = fingerprint.machine(devices).shared(shares)
        (base,) = plan([trial], sizes, machine).programs
        steps = max(n for n in range(1, STEPS + 1) if work.steps % n == 0)
        data = DeviceData(dataset, lane_mesh(devices, shares))
        program = found[shares] = program_of(replace(base, steps=steps, thorough=True), trial, data)
        while len(program.waiting) > 1:
            program.waiting.pop()
        program.compile()
        program.fill()
    return found


def table(name: str, found: Mapping[int, Program], rounds: int) -> Table:
    """Milliseconds of a step, and how many times as fast as on one device."""
    samples = interleaved({n: lambda p=p: p.train() for n, p in found.items()}, rounds)  # type: ignore[misc]
    ms = {n: [1000 * s / found[n].plan.steps for s in spent] for n, spent in samples.items()}
    told = Table("--batch_devices", "ms/step", "times as fast", title=name)
    for shares, values in ms.items():
        ratio = faster(values, ms[1])
        spread = f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.greatest:.2f})"
        told.add_row(str(shares), f"{Spread.of(values).median:.3g}", spread)
    return told


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone", description=__doc__)
    parser.add_argument("--works", default="small,medium,mlp")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data_dir", type=Path)
    arguments = parser.parse_args()
    for name in arguments.works.split(","):
        found = programs(WORKS[name], arguments.data_dir)
        Console(width=110).print(table(name, found, arguments.rounds))


if __name__ == "__main__":
    main()
