"""Keras 3 on the backend that KERAS_BACKEND names: `compile` and `fit`, data in memory, no metrics to keep.

On TensorFlow an epoch is one execution, from batches made beforehand; on JAX, where steps of an execution are
still dispatched one by one, an execution is a step.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from bench import host
from bench import layers as spec
from bench.trial import Trial
from benchmarks.contenders.contender import EVALUATED_AT_ONCE, Data, Peer, Piece

TENSORFLOW = keras.backend.backend() == "tensorflow"
if TENSORFLOW:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(host.cores())
    tf.config.threading.set_inter_op_parallelism_threads(host.cores())


class Keras(Peer):
    """One trial.

    Args:
        trials, data: see `Peer`.
        jit_compile: by XLA.
        metrics: to compute while training.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        data: Data,
        jit_compile: bool = True,
        metrics: Sequence[str] = (),
    ):
        super().__init__(trials, data)
        (trial,) = trials
        keras.utils.set_random_seed(trial["seed"])  # of dropout
        self.model = _model(self.layers, data.shape, self.initial(trial))
        self.model.compile(
            optimizer=_optimizer(trial),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=list(metrics) or None,
            jit_compile=jit_compile,
            steps_per_execution=self.steps if TENSORFLOW else 1,
        )

    @property
    def steps(self) -> int:
        """S."""
        return len(self.data.training[1]) // self.trials[0]["batch_size"]

    def train(self, order: np.ndarray) -> float:
        images, labels = (array[order] for array in self.data.training)
        clock = _Clock()
        told: dict[str, Any] = {"epochs": 1, "verbose": 0, "callbacks": [clock]}
        if TENSORFLOW:
            self.model.fit(tf.data.Dataset.from_tensor_slices((images, labels)), **told)
        else:
            images, labels = (a.reshape(-1, *a.shape[2:]) for a in (images, labels))
            self.model.fit(images, labels, order.shape[1], shuffle=False, **told)
        return clock.seconds

    def forward(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_on_batch(images))[None]

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)

    def fit(self, **more: Any) -> Any:
        """All of the trial's epochs, shuffled, each with an evaluation; Keras' history of them."""
        return self.model.fit(
            *self.data.training,
            batch_size=self.trials[0]["batch_size"],
            epochs=self.trials[0]["epochs"],
            validation_data=self.data.evaluated,
            validation_batch_size=EVALUATED_AT_ONCE,
            verbose=0,
            **more,
        )

    @classmethod
    def sweep(
        cls,
        groups: Sequence[Sequence[Trial]],
        data: Data,
        options: Mapping[str, Any],
        clock: Callable[[], float],
    ) -> Iterator[Piece]:
        """The loop that Keras' users write: build, compile, fit, the next."""
        for (trial,) in groups:
            start = clock()
            keras.utils.clear_session()
            contender = cls([trial], data, metrics=("accuracy",), **options)
            contender.fit()
            (result,) = contender.evaluate()
            yield Piece(clock() - start, {trial.id: result})


class _Clock(keras.callbacks.Callback):
    """Times the epoch by itself, without what `fit` sets up before and waits for behind it."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.seconds = time.perf_counter() - self._start


def _optimizer(trial: Trial) -> keras.optimizers.Optimizer:
    rate = trial["learning_rate"]
    if trial["optimizer"] == "sgd":
        return keras.optimizers.SGD(rate)
    return keras.optimizers.Adam(rate, trial["beta1"], trial["beta2"], trial["eps"])


def _model(
    layers: spec.Layers, shape: spec.Shape, initial: Sequence[Mapping[str, np.ndarray]]
) -> keras.Model:
    parts = zip(layers, initial, strict=True)
    return keras.Sequential([keras.Input(shape), *(_layer(*part) for part in parts)])


def _layer(layer: Any, values: Mapping[str, np.ndarray]) -> keras.Layer:
    def kernel_of(shape: Any, dtype: Any = None) -> np.ndarray:  # noqa: ARG001
        return values["kernel"]

    made: dict[str, Any] = {"kernel_initializer": kernel_of}
    match layer:
        case spec.Conv(features, kernel, stride, padding, bias):
            return keras.layers.Conv2D(
                features, kernel, stride, padding.lower(), use_bias=bias, **made
            )
        case spec.Dense(units, bias):
            return keras.layers.Dense(units, use_bias=bias, **made)
        case spec.MaxPool(window, stride, padding):
            return keras.layers.MaxPooling2D(window, stride, padding.lower())
        case spec.BatchNorm(momentum, epsilon):
            return keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)
        case spec.Activation("relu"):
            return keras.layers.Activation("relu")
        case spec.Dropout(rate):
            return keras.layers.Dropout(rate)
        case spec.Flatten():
            return keras.layers.Flatten()
    raise TypeError(f"no Keras layer for {layer}")


CONTENDER = Keras
