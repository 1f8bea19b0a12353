"""Trials trained together in programs, for the proofs that it makes no difference."""

import jax
import numpy as np

from bench import plan as planning
from bench.costs import Machine, Workload
from bench.device_data import DeviceData
from bench.lanes import Lanes
from bench.mesh import lane_mesh
from bench.program import Program
from bench.trial import Trial

BASE = {"features": 4, "units": 6, "batch_size": 48, "epochs": 4, "learning_rate": 0.01}


def make(settings):
    return Trial.create({**BASE, **settings}, {"data": "test"})


def planned(trials, dataset, lanes=0, strategy="map", devices=1, bounds=()):
    """One program that trains all of `trials`."""
    workload = Workload(dataset.image_shape, dataset.classes, len(dataset.train))
    machine = Machine("cpu", devices, 2**33)
    plan = planning.plan(trials, workload, machine, lanes, strategy, "fewest", bounds=bounds)
    (program,) = plan.programs
    return program


def compiled(program, trial, dataset, devices=1, batch=1, precision="float64", curve_every=0):
    """A program whose lanes lie on `devices`, each lane's examples on `batch` of them."""
    data = DeviceData(dataset, lane_mesh(jax.local_devices()[:devices], batch))

    def fitted(plan, trial):
        lanes = Lanes(plan, data, precision, curve=bool(curve_every))
        lanes.compile(trial)
        return lanes

    found = Program(program, fitted, curve_every=curve_every)
    found.waiting.append(trial)
    found.compile()
    found.waiting.clear()
    return found


def run(program, trials, note=lambda event: None):
    """Trial id → (weights by path, metrics of the last epoch); `note` gets each dispatch's event."""
    program.waiting.extend(trials)
    found = {}
    while program.waiting or program.seated:
        if program.between_epochs:  # lanes are filled nowhere else
            program.fill()
        note(program.train())
        if program.between_epochs:
            metrics, _ = program.evaluate()
            for seat, row in zip(program.seated, metrics, strict=True):
                if seat.epoch == seat.trial["epochs"]:
                    found[seat.trial.id] = (program.ready.weights(seat.lane, seat.trial), row)
                    program.leave(seat)
    return found


def train_fused(trials, dataset, lanes=0, strategy="map", devices=1, batch=1):
    """All trials in one program; `devices` in all, of which `batch` share a lane."""
    plan = planned(trials, dataset, lanes, strategy, devices // batch)
    return run(compiled(plan, trials[0], dataset, devices, batch), trials)


def distance(ours, theirs):
    """The largest error of any array, relative to that array's largest number."""
    assert ours.keys() == theirs.keys()
    return max(
        np.abs(ours[path] - theirs[path]).max() / max(np.abs(theirs[path]).max(), 1e-3)
        for path in theirs
    )


def same_bits(one, other):
    """Whether two trainings of one trial ended in the same weights, to the bit."""
    assert one[0].keys() == other[0].keys()
    return all(np.array_equal(one[0][path], other[0][path]) for path in one[0])
