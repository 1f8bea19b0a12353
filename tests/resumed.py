"""Sweeps that are interrupted and resumed, and what must be the same then."""

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bench import run as running
from bench.config import defaults, resolve
from bench.options import Options
from bench.program import Program
from bench.run import Run
from bench.stop import Stop

SPACE = {"learning_rate": (1e-3, 1e-2, 1e300), "optimizer": ("adam", "sgd"), "kernel": (1, 3)}


CACHE: list[Path] = []  # what is measured of programs: the same few, over and over


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    CACHE[:] = [tmp_path_factory.mktemp("cache")]


def settings(space=None, axes=(), **changes):
    """Twelve trials in two programs; the third learning rate diverges."""
    config = defaults()
    config.data.limit = 190
    config.trial.update(features=4, units=6, epochs=3, batch_size=16, dropout=0.2)
    config.precision = "float64"  # as the tests set JAX up
    config.space = SPACE if space is None else space
    config.update(changes)
    return resolve(config, axes)


def sweep(workdir, space=None, sampler=None, lanes=2, said=None, changes=None, **options):
    """Runs, or goes on with, a sweep in this process."""
    options = {
        "checkpoint_every": 0.0,
        "keep": "last",
        "devices": 2,
        "cache_dir": CACHE[0],
        "curve_every": 4,  # of 9 steps an epoch
    } | options
    console = Console(file=said or io.StringIO(), width=500)
    job = Run(settings(space, **(changes or {})), Options(workdir, lanes=lanes, **options), console)
    job.sampler = sampler(job.sampler.known) if sampler else job.sampler
    results = job.train()
    return job, results


def books(workdir: Path):
    """All that must be the same: the tables without times, and every kept parameter."""
    rows = list(csv.DictReader((workdir / "trials.csv").read_text().splitlines()))
    for row in rows:
        del row["seconds"]
    names = ("curves.parquet", "losses.parquet")  # the other only where it is asked for
    curves = {
        name: pq.read_table(workdir / name).to_pylist()
        for name in names
        if (workdir / name).exists()
    }
    weights = {}
    for path in sorted(workdir.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            weights[path.name] = {name: arrays[name].tobytes() for name in arrays.files}
    return rows, curves, weights


class Interrupted(Stop):
    """Stops a sweep after some of its dispatches, as a signal does."""

    left = 0

    @property
    def reason(self):
        return "" if self.left > 0 else "SIGTERM"


def interrupted(workdir, after, **how):
    """A sweep that is asked to stop while its dispatch number `after` is in flight."""
    stop, train = Interrupted(), Program.train
    stop.left = after

    def counted(program):
        stop.left -= 1
        return train(program)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "Stop", lambda _: stop)
        patch.setattr(Program, "train", counted)
        return sweep(workdir, **how)
