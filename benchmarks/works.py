"""What `benchmarks.peers` has Convoy and its peers do: the same work for all, as data.

A `Work` is steady training: a few trials, epoch by epoch. A `Sweep` is a grid, end to end, and a config too:

    python -m bench.main --config=benchmarks/works.py:digits48
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from bench import search
from bench.config import defaults, resolve
from bench.data import DataOptions, Dataset, Split, load
from bench.errors import ConfigError, nearest
from bench.trial import Trial

TEST_EXAMPLES = 2000  # that a steady work evaluates: enough to see who trained less
GTSRB = "npz:gtsrb/gtsrb-32x32.npz"


@dataclass(frozen=True)
class Work:
    """Trials that differ in their learning rates alone, trained for rounds of one epoch.

    Attributes:
        dataset: as `bench.data.load` takes it.
        settings: hyperparameters of the trials.
        steps: updates of a round; training data are cut to as many batches, so that a round is an epoch.
        lanes: trials that Convoy trains at once.
    """

    dataset: str
    settings: Mapping[str, Any]
    steps: int
    lanes: int = 8

    def trials(self, count: int) -> list[Trial]:
        """The first `count` of them."""
        rate = self.settings["learning_rate"]
        rates = (rate * (1 + number / 8) for number in range(count))
        return [
            Trial.create({**self.settings, "learning_rate": r, "epochs": 1000}, {}) for r in rates
        ]

    def load(self, data_dir: Path | str | None) -> Dataset:
        """The data, cut to a round of whole batches and to `TEST_EXAMPLES`, none to validate on.

        Raises DataError.
        """
        dataset = load(self.dataset, DataOptions(), data_dir)
        examples = self.steps * self.settings["batch_size"]
        if examples > len(dataset.train):
            raise ConfigError(f"--steps={self.steps} is more than an epoch of {self.dataset}")
        train, test = _some(dataset.train, examples), _some(dataset.test, TEST_EXAMPLES)
        return replace(dataset, train=train, valid=_some(dataset.valid, 0), test=test)


def _some(split: Split, count: int) -> Split:
    chosen = np.random.Generator(np.random.PCG64(0)).permutation(len(split))[:count]
    return Split(split.images[chosen], split.labels[chosen])


@dataclass(frozen=True)
class Sweep:
    """A grid of trials; its data are whole batches, so that nobody need treat a last, smaller one.

    Attributes:
        dataset, data: as `bench.data.load` takes them.
        settings: hyperparameters that every trial starts from.
        space: what varies.
    """

    dataset: str
    settings: Mapping[str, Any]
    space: Mapping[str, tuple]
    data: Mapping[str, Any] = field(default_factory=dict)

    def config(self) -> ConfigDict:
        """For `bench.main`."""
        config = defaults()
        config.dataset = self.dataset
        config.data.update(self.data)
        config.trial.update(self.settings)
        config.space = dict(self.space)
        return config

    def load(self, data_dir: Path | str | None) -> Dataset:
        """The data. Raises DataError."""
        return load(self.dataset, DataOptions(**self.data), data_dir)

    def trials(self, dataset: Dataset) -> Sequence[Trial]:
        """All of them, with the ids that Convoy gives them."""
        settings = resolve(self.config())
        identity = {"data": dataset.fingerprint, "precision": settings.precision}
        return search.create(settings.search, settings.trial, settings.space, identity).known


def _stack(**settings: Any) -> dict[str, Any]:
    start = {"model": "stack", "padding": "SAME", "units": 128, "batch_size": 32}
    return {**start, "optimizer": "adam", "learning_rate": 1e-3, **settings}


_SMALL = _stack(padding="VALID", optimizer="sgd", learning_rate=0.05)
_MLP = {"model": "mlp", "units": 256, "dense_layers": 2, "batch_size": 64, "optimizer": "adam"}
_ADAM = {"batch_size": 32, "optimizer": "adam"}
_ALEXNET = {"model": "alexnet", "features": 48, "units": 512, "dropout": 0.5, **_ADAM}
_DROPOUT = {"model": "convnet", "filters": (32,), "conv_layers": 2, "paddings": ("SAME", "VALID"),
            "hidden": (64,), "activation_dropout": 0.2, "dropout": 0.3}  # fmt: skip
_DEEP = {"model": "vgg", "depth": 13, "features": 16, **_ADAM}  # ten convolutions
_SMOKE = _stack(features=4, units=16, optimizer="sgd", learning_rate=0.05)

WORKS: dict[str, Work] = {
    "small": Work("mnist", {**_SMALL, "features": 16}, steps=150),
    "medium": Work("mnist", {**_SMALL, "features": 32, "batch_size": 64}, steps=60),
    "rgb": Work(GTSRB, _stack(features=32), steps=50),
    "kernel5": Work("mnist", _stack(kernel=5, padding="VALID"), steps=100),
    "same": Work("fashion_mnist", _stack(features=24, units=64), steps=80),
    "batchnorm": Work("fashion_mnist", _stack(batch_norm=True, batch_size=64), steps=50),
    "dropout": Work("fashion_mnist", {**_DROPOUT, **_ADAM, "learning_rate": 1e-3}, steps=80),
    "mlp": Work("fashion_mnist", {**_MLP, "learning_rate": 1e-3}, steps=300),
    "alexnet": Work(GTSRB, {**_ALEXNET, "learning_rate": 5e-4}, steps=6, lanes=2),
    "deep": Work(GTSRB, {**_DEEP, "learning_rate": 1e-3}, steps=12, lanes=4),
}
SWEEPS: dict[str, Sweep] = {
    "digits48": Sweep(
        "digits",
        {"padding": "SAME", "batch_size": 32, "epochs": 20},
        {"features": (8, 16, 32), "units": (32, 64), "optimizer": ("adam", "sgd"),
         "learning_rate": (1e-3, 3e-3, 1e-2, 3e-2)},
        {"limit": 1789},  # 1,216 of them to train on: 38 batches
    ),
    "mnist12": Sweep(
        "mnist",
        {"padding": "VALID", "units": 128, "batch_size": 64, "epochs": 1},
        {"features": (16, 32), "optimizer": ("adam", "sgd"), "learning_rate": (1e-3, 3e-3, 1e-2)},
        {"valid_fraction": 1 / 15},  # 56,000 to train on: 875 batches
    ),
}  # fmt: skip
# Of `--quick` and the tests: seconds, and no download.
QUICK: dict[str, Work | Sweep] = {
    "smoke": Work("digits", _SMOKE, steps=3, lanes=2),
    "smoke_norm": Work("digits", {**_SMOKE, "batch_norm": True}, steps=3, lanes=2),
    "smoke4": Sweep(
        "digits",
        {"features": 4, "batch_size": 32, "epochs": 2},
        {"learning_rate": (1e-3, 1e-2), "optimizer": ("adam", "sgd")},
        {"limit": 188},  # 128 to train on
    ),
}


def named(name: str) -> Work | Sweep:
    """The work or sweep of that name. Raises ConfigError."""
    known = {**WORKS, **SWEEPS, **QUICK}
    if name not in known:
        raise ConfigError(f"benchmarks/works.py has no {name!r}: {nearest(name, known)}")
    return known[name]


def get_config(name: str = "digits48") -> ConfigDict:
    work = named(name)
    if isinstance(work, Work):
        raise ConfigError(f"{name} is no sweep: use :{', :'.join(SWEEPS)}")
    return work.config()
