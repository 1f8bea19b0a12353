"""What every contender can do, and the data and initial values that all of them start from.

Letters: T trials at once; N training examples, M evaluated ones, H×W pixels, C channels; B examples a
batch, S batches an epoch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.data import Dataset
from bench.initial import initial_values
from bench.layers import Layers, flat
from bench.padding import arrays
from bench.trial import Trial

EVALUATED_AT_ONCE = 1000
ORDER = 1  # the purpose of these draws, as in `bench.draws`, which would import JAX


class Unavailable(Exception):  # noqa: N818
    """The contender cannot run here; the message says what is missing."""


class Data:
    """A data set in memory as the peers take it: standardised float32, in the order of Convoy's epochs."""

    def __init__(self, dataset: Dataset):
        self.dataset, self.shape, self.classes = dataset, dataset.image_shape, dataset.classes

    @cached_property
    def training(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, H, W, C) float32 and (N,) int32."""
        return self._standardised(self.dataset.train.images), self.dataset.train.labels

    @cached_property
    def evaluated(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, H, W, C) float32 and (M,) int32: validation, then test."""
        parts = (self.dataset.valid, self.dataset.test)
        images = np.concatenate([part.images for part in parts])
        return self._standardised(images), np.concatenate([part.labels for part in parts])

    def _standardised(self, images: np.ndarray) -> np.ndarray:
        look = self.dataset.preprocessing
        mean, std = (np.asarray(n, np.float32) for n in (look.mean, look.std))
        return (images.astype(np.float32) / 255 - mean) / std

    def order(self, trial: Trial, epoch: int) -> np.ndarray:
        """(S, B) int32: the examples of each batch of an epoch."""
        examples = len(self.dataset.train)
        assert examples % trial["batch_size"] == 0, "works are cut to whole batches"
        generator = np.random.Generator(np.random.PCG64((trial["data_seed"], ORDER, epoch)))
        return generator.permutation(examples).astype(np.int32).reshape(-1, trial["batch_size"])


@dataclass(frozen=True)
class Piece:
    """Some trials of a sweep, trained: their results by id, and the seconds that they took."""

    seconds: float
    results: Mapping[str, Mapping[str, float]]


class Contender(ABC):
    """Trains T trials of one architecture and optimizer, epoch by epoch.

    Args:
        trials: T.
        data: what they train on.

    Attributes:
        about: what it has to say of itself, in JSON.
    """

    def __init__(self, trials: Sequence[Trial], data: Data):
        self.trials, self.data = tuple(trials), data
        self.about: dict[str, Any] = {}

    @abstractmethod
    def epoch(self) -> float:
        """Trains every trial for an epoch; its seconds, the device waited for."""

    @abstractmethod
    def evaluate(self) -> list[dict[str, float]]:
        """Of each trial: `valid_accuracy`, NaN without such examples; `test_accuracy`, `test_loss`."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers the library itself says that it trains, of one trial."""


class Peer(Contender):
    """Another library; one that cannot train several trials at once is given one."""

    def __init__(self, trials: Sequence[Trial], data: Data):
        super().__init__(trials, data)
        self.layers: Layers = flat(trials[0].layers(data.classes))
        self.epochs = 0

    def initial(self, trial: Trial) -> list[dict[str, np.ndarray]]:
        """For each of the layers, by name, the parameters from which Convoy starts too."""
        described = list(arrays(self.layers, self.data.shape))
        values = initial_values(described, trial["seed"], trial["init"])
        found: list[dict[str, np.ndarray]] = [{} for _ in self.layers]
        for path, shape in described:
            _, place, name = path.split("/")
            found[int(place)][name] = values[: math.prod(shape)].reshape(shape)
            values = values[math.prod(shape) :]
        return found

    @abstractmethod
    def train(self, order: np.ndarray) -> float:
        """Trains on the (S, B) batches; seconds, the device waited for."""

    @abstractmethod
    def forward(self, images: np.ndarray) -> np.ndarray:
        """(n, H, W, C) standardised → (T, n, classes) logits, nothing dropped."""

    def epoch(self) -> float:
        self.epochs += 1
        return self.train(self.data.order(self.trials[0], self.epochs - 1))

    def evaluate(self) -> list[dict[str, float]]:
        images, labels = self.data.evaluated
        size = min(EVALUATED_AT_ONCE, len(images))
        missing = -len(images) % size  # batches of one shape: nobody need compile twice
        images = np.concatenate([images, images[:missing]])
        parts = [self.forward(images[at : at + size]) for at in range(0, len(images), size)]
        logits = np.concatenate(parts, axis=1)[:, : len(labels)].astype(np.float64)
        return [self._scores(one, labels) for one in logits]

    def _scores(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        hits = logits.argmax(-1) == labels
        shifted = logits - logits.max(-1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(labels)), labels]
        test = slice(len(self.data.dataset.valid), None)
        valid = hits[: test.start]
        return {
            "valid_accuracy": float(valid.mean()) if len(valid) else math.nan,
            "test_accuracy": float(hits[test].mean()),
            "test_loss": float(losses[test].mean()),
        }

    @classmethod
    def groups(cls, trials: Sequence[Trial], data: Data, options: Mapping[str, Any]) -> list:  # noqa: ARG003
        """The trials of a sweep as they are trained together: each alone."""
        return [[trial] for trial in trials]

    @classmethod
    def sweep(
        cls,
        groups: Sequence[Sequence[Trial]],
        data: Data,
        options: Mapping[str, Any],
        clock: Callable[[], float],
    ) -> Iterator[Piece]:
        """Trains group after group; each epoch ends with an evaluation, as Convoy's does."""
        for group in groups:
            start = clock()
            peer = cls(group, data, **options)
            for _ in range(group[0]["epochs"]):
                peer.epoch()
                results = peer.evaluate()
            ids = (trial.id for trial in group)
            yield Piece(clock() - start, dict(zip(ids, results, strict=True)))
