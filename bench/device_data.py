"""A data set on the devices."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from bench import mesh
from bench.data import Dataset
from bench.data.dataset import TRAIN_SUBSET
from bench.state import PADDING, TEST, TRAIN, VALID, EvaluationSet, TrainingSet


class DeviceData:
    """A data set on the devices, whole on each: pixels stay uint8 and are standardised as they are used.

    Args:
        dataset: from `bench.data.load`.
        devices: see `mesh.lane_mesh`.
    """

    def __init__(self, dataset: Dataset, devices: Mesh):
        self.dataset, self.mesh = dataset, devices
        self.shared = NamedSharding(devices, mesh.WHOLE)
        train, look = dataset.train, dataset.preprocessing
        self.training = jax.device_put(
            TrainingSet(train.images, train.labels, np.asarray(look.mean), np.asarray(look.std)),
            self.shared,
        )
        self.bytes = sum(array.nbytes for array in self.training)  # on each device
        some = np.random.Generator(np.random.PCG64(0)).permutation(len(train))[:TRAIN_SUBSET]
        parts = (
            (train.images[some], train.labels[some], TRAIN),
            (dataset.valid.images, dataset.valid.labels, VALID),
            (dataset.test.images, dataset.test.labels, TEST),
        )
        self.counts = np.array([len(labels) for _, labels, _ in parts])
        self._evaluated = EvaluationSet(
            np.concatenate([images for images, _, _ in parts]),
            np.concatenate([labels for _, labels, _ in parts]),
            np.repeat(np.array([TRAIN, VALID, TEST], np.int32), self.counts),
        )
        self._batched: dict[int, EvaluationSet] = {}

    def evaluation(self, batch: int) -> EvaluationSet:
        """The evaluation set cut into batches: its arrays are (⌈M / batch⌉, batch, …), the last padded.

        The batch is rounded up to a multiple of the devices that share one.
        """
        shares = self.mesh.shape[mesh.BATCH_AXIS]
        batch = -(-batch // shares) * shares
        if batch not in self._batched:
            missing = -len(self._evaluated.labels) % batch

            def cut(array: Any, fill: int) -> np.ndarray:
                padding = np.full((missing, *array.shape[1:]), fill, array.dtype)
                return np.concatenate([array, padding]).reshape(-1, batch, *array.shape[1:])

            cut_set = EvaluationSet(*map(cut, self._evaluated, (0, 0, PADDING)))
            rows = NamedSharding(self.mesh, mesh.ROWS)
            self._batched[batch] = jax.device_put(cut_set, rows)
        return self._batched[batch]

    def of_segment(self, array: np.ndarray, segment: int) -> np.ndarray:
        """The part of an evaluation's (M, …) output that belongs to TRAIN, VALID or TEST."""
        start = int(self.counts[:segment].sum())
        return array[start : start + int(self.counts[segment])]
