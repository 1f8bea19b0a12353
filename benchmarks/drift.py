"""How far float32 carries a trial from itself: alone, and padded, accumulated, side by side, on two devices.

    python -m benchmarks.drift --epochs=1,5,20

In float64 these agree to 1e-13 over 50 updates (`tests/test_fused.py`). In float32 sums in another order
differ in the last bit, and training makes more of it the longer it goes on: the same that another order of
examples or another chip would do. Distances are of final parameters, the largest error of any array relative
to that array's largest number; digits, batches of 48.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from bench import plan as planning
from bench.costs import Machine, Workload
from bench.data import DataOptions, Dataset, load
from bench.device_data import DeviceData
from bench.devices import prepare
from bench.lanes import Lanes
from bench.mesh import lane_mesh
from bench.program import Program
from bench.trial import Trial

BASE: dict[str, Any] = {"features": 8, "units": 16, "batch_size": 48, "learning_rate": 3e-3}
WIDE = {"features": 24, "units": 48}
OPTIMIZERS = ("sgd", "momentum", "adam", "rmsprop", "lion")
# What is beside the trial in its program, how lanes run, and on how many devices.
WAYS: dict[str, tuple[dict[str, Any], str, int]] = {
    "padded to three times its widths": (WIDE, "map", 1),
    "in microbatches of 16": ({"batch_size": 16}, "map", 1),
    "side by side (vmap)": ({"seed": 1}, "vmap", 1),
    "its examples on two devices": ({"seed": 1}, "map", 2),
}

Outcome = tuple[Mapping[str, np.ndarray], float]


def make(settings: Mapping[str, Any]) -> Trial:
    """A trial of this benchmark."""
    return Trial.create({**BASE, **settings}, {"data": "digits"})


def trained(trials: Sequence[Trial], dataset: Dataset, strategy: str, batch: int) -> Outcome:
    """The first trial's weights and test loss, all of them in one program."""
    workload = Workload(dataset.image_shape, dataset.classes, len(dataset.train))
    machine = Machine("cpu", 1, 2**33)
    plan = planning.plan(trials, workload, machine, strategy=strategy, mode="fewest")
    data = DeviceData(dataset, lane_mesh(jax.local_devices()[:batch], batch))

    def compiled(program: planning.ProgramPlan, trial: Trial) -> Lanes:
        lanes = Lanes(program, data)
        lanes.compile(trial)
        return lanes

    program = Program(plan.programs[0], compiled)
    program.waiting.extend(trials)
    program.compile()
    program.fill()
    while True:
        program.train()
        if program.between_epochs:
            rows, _ = program.evaluate()
            seat = program.seated[0]
            if seat.epoch == seat.trial["epochs"]:
                return program.ready.weights(seat.lane, seat.trial), rows[0]["test_loss"]


def distance(one: Outcome, other: Outcome) -> float:
    """The largest error of any array, relative to its largest number."""
    return max(
        float(np.abs(one[0][path] - other[0][path]).max() / np.abs(other[0][path]).max())
        for path in one[0]
        if np.abs(other[0][path]).max() > 0
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--epochs", default="1,5,20")
    epochs = [int(number) for number in parser.parse_args().epochs.split(",")]
    prepare(2, 1, "float32", None)
    dataset = load("digits", DataOptions())
    updates = math.ceil(len(dataset.train) / BASE["batch_size"])
    table = Table("optimizer", "the same trial", *(f"{e * updates:,} updates" for e in epochs))
    for optimizer in OPTIMIZERS:
        cells: dict[str, list[str]] = {way: [] for way in WAYS}
        for number in epochs:
            trial = make({"optimizer": optimizer, "epochs": number})
            alone = trained([trial], dataset, "map", 1)
            for way, (beside, strategy, batch) in WAYS.items():
                other = make({"optimizer": optimizer, "epochs": number, **beside})
                found = trained([trial, other], dataset, strategy, batch)
                loss = f"test loss {found[1] / alone[1] - 1:+.1e}"
                cells[way].append(f"{distance(found, alone):.1e}, {loss}")
        for way, found_cells in cells.items():
            table.add_row(optimizer, way, *found_cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
