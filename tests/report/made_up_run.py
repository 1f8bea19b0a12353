"""A made-up run directory with everything in it: config, trained trial, data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from made_up_sweep import FINISH, PEAKS, RUN, Event, begin, end, epoch, program, sweep, train

from bench.best import Trained
from bench.data import DataOptions, Dataset, load
from bench.record import Journal
from bench.trial import Trial

OPTIONS = DataOptions(limit=190)
WRONG = 3  # test examples that the trained trial takes for the next class


def digits() -> Dataset:
    return load("digits", OPTIONS)


def about(dataset: Dataset) -> Event:
    """The run event as a sweep on this data set writes it."""
    names = {
        "class_names": list(dataset.class_names),
        "preprocessing": dataset.preprocessing.to_json(),
    }
    sizes = {"test": len(dataset.test), "valid": len(dataset.valid)}
    return {**RUN, "data": {**RUN["data"], **names, **sizes}}


def trained(dataset: Dataset, trial: Trial) -> Trained:
    """A single dense layer, right but for the first few test examples."""
    predictions = dataset.test.labels.copy()
    predictions[:WRONG] = (predictions[:WRONG] + 1) % dataset.classes
    weights = {"layers/1/kernel": np.arange(640, dtype=np.float32).reshape(64, 10) - 320}
    return Trained(trial, dataset.class_names, dataset.preprocessing, weights, predictions, {})


def write(workdir: Path, dataset: Dataset, events: list[Event] | None = None) -> None:
    """Journal, `best.npz` and `config.json`."""
    told = events or [about(dataset), *sweep()[1:], *measured("00000000"), PEAKS, FINISH]
    with Journal(workdir / "journal.jsonl") as journal:
        journal.append(*told)
    trained(dataset, Trial.create({"model": "mlp"}, {})).write(workdir / "best.npz")
    config = {
        "schema": 2,
        "dataset": "digits",
        "data": {"limit": 190},
        "fingerprint": dataset.fingerprint,
        "space": {"learning_rate": "log_uniform(0.0001, 0.3)", "features": "choice(8, 16, 32)"},
    }
    (workdir / "config.json").write_text(json.dumps(config))


def measured(name: str) -> list[Event]:
    """Of a program, that its work is known."""
    work: dict[str, Any] = {"flops_per_iteration": 4e9, "bytes_per_iteration": 4e8}
    return [{**program(name), **work, "xla_flops": 5e9, "xla_bytes": None}]


def seeds() -> list[Event]:
    """Two settings, of three seeds each; one trial diverged without ever a finite number."""
    events: list[Event] = [{**RUN, "axes": ["units", "seed"]}, program("p")]
    for place, (units, seed) in enumerate((u, s) for u in (8, 16) for s in (1, 2, 3)):
        trial = Trial.create({"units": units, "seed": seed, "epochs": 1}, {})
        accuracy = 0.5 + place / 10
        events += [begin(trial, "p"), epoch(trial, 1, accuracy), end(trial)]
    bad = Trial.create({"units": 32, "seed": 1}, {})
    nothing = dict.fromkeys((f"{p}_{k}" for p in ("running", "train", "valid", "test")
                             for k in ("loss", "accuracy")), None)  # fmt: skip
    ended = end(bad, "diverged", error="the loss is not finite")
    return [*events, begin(bad, "p"), epoch(bad, 1, 0.1, **nothing), ended, train("p", 1.0)]
