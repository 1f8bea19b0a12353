"""What a lane's functions take and return: data, a trial's state, its epoch, an evaluation.

Letters: N training examples, M evaluated ones, H×W pixels, C channels, S iterations a dispatch; P parameters
and Q statistics of the program.
"""

from typing import Any, NamedTuple

import jax

from bench.draws import Array
from bench.vector import Parts

TRAIN, VALID, TEST, PADDING = range(4)  # segments of the evaluation set


class TrainingSet(NamedTuple):
    """`images` (N, H, W, C) uint8, `labels` (N,) int32, `mean` and `std` (C,) of pixels / 255."""

    images: Array
    labels: Array
    mean: Array
    std: Array


class EvaluationSet(NamedTuple):
    """`images` (M, H, W, C) uint8, `labels` (M,), `segment` (M,): TRAIN, VALID, TEST or PADDING."""

    images: Array
    labels: Array
    segment: Array


class Lane(NamedTuple):
    """Everything that decides a trial's future, on the device.

    Attributes:
        params: the network's P parameters, in parts (`bench.vector`).
        stats: its Q batch statistics, in parts.
        optimizer: a state for each family present.
        hyper: the trial's own numbers, see `bench.hyper`.
        gradient, batch_weight: of the batch so far: sum of weighted gradients, in parts, and () of weights;
            where an iteration is an update, the gradient is one array, (1,) long and unused.
        loss, weight, correct, seen: sums over the epoch so far: weighted loss, weights, hits, examples.
        last_loss: the last microbatch's mean loss that was finite, NaN before the first.
    """

    params: Parts
    stats: Parts
    optimizer: Any
    hyper: Any
    gradient: Any
    batch_weight: jax.Array
    loss: jax.Array
    weight: jax.Array
    correct: jax.Array
    seen: jax.Array
    last_loss: jax.Array


class Epoch(NamedTuple):
    """What a dispatch is told of each lane's epoch, as the host computes it.

    Attributes:
        rates: (S,) learning rates of the dispatch's iterations.
        order: (N,) int32, the examples in the order of the whole epoch.
        dropout_key, augment_key: (2,) uint32.
    """

    rates: Array
    order: Array
    dropout_key: Array
    augment_key: Array


class Evaluation(NamedTuple):
    """`loss` and `correct` (3,): sums over TRAIN, VALID, TEST; `collapsed` ().

    `predictions` are int32, shaped as the evaluation set's labels.
    """

    loss: jax.Array
    correct: jax.Array
    predictions: jax.Array
    collapsed: jax.Array
