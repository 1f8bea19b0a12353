"""What one lane computes: a fresh trial's state, S training steps, an evaluation. Pure functions of data.

Letters: N training examples, M evaluated ones, H×W pixels, C channels, B examples a batch, S steps a
dispatch, V open values of the skeleton (`layers.values`).

Random numbers are functions of (seed, purpose, epoch, step): see `bench.draws`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from bench import draws, hyperparameters, layers, optim
from bench.data.augment import DRAWS, augment
from bench.draws import Array
from bench.layers import Shape
from bench.network import Build, Network, Step
from bench.plan import ProgramPlan
from bench.trial import Trial
from bench.vector import Packing

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
        params: (P,) the network's parameters, packed.
        stats: (Q,) its batch statistics, packed.
        optimizer: a state for each family present.
        hyper: the trial's own numbers, see `hyper_of`.
        loss, weight, correct, seen: sums over the epoch so far: weighted loss, weights, hits, examples.
    """

    params: jax.Array
    stats: jax.Array
    optimizer: Any
    hyper: Any
    loss: jax.Array
    weight: jax.Array
    correct: jax.Array
    seen: jax.Array


class Epoch(NamedTuple):
    """What a dispatch is told of each lane's epoch, as the host computes it.

    Attributes:
        rates: (S,) learning rates of the dispatch's steps.
        order: (N,) int32, the examples in the order of the whole epoch.
        dropout_key, augment_key: (2,) uint32.
    """

    rates: Array
    order: Array
    dropout_key: Array
    augment_key: Array


class Evaluation(NamedTuple):
    """`loss` and `correct` (3,): sums over TRAIN, VALID, TEST; `predictions` (M,) int32; `collapsed` ()."""

    loss: jax.Array
    correct: jax.Array
    predictions: jax.Array
    collapsed: jax.Array


def hyper_of(
    trial: Trial, program: ProgramPlan, labels: np.ndarray, classes: int
) -> dict[str, Any]:
    """The numbers in which a lane may differ from its neighbours, as host arrays.

    Args:
        trial: the lane's.
        program: whose families and skeleton decide what is needed.
        labels: (N,) of the training set, for class weights.
        classes: how many.
    """
    hyper: dict[str, Any] = {
        "family": np.int32(program.optimizers.index(trial["optimizer"])),
        "values": np.asarray(layers.values(trial.layers(classes)) or (0.0,), float),
        "class_weights": _class_weights(trial["class_weights"], labels, classes),
        "clip_norm": float(trial["clip_norm"] or np.inf),
    }
    for name in ("weight_decay", "label_smoothing", "flip", "shift", "crop"):
        hyper[name] = float(trial[name])
    # A lane of another family never reads these, but every family's formula must stay finite on them.
    for family in program.optimizers:
        for name, rule in hyperparameters.OPTIMIZERS[family].items():
            hyper.setdefault(name, float(trial.settings.get(name, rule.default)))
    return hyper


def _class_weights(kind: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,): ones, or N / (classes · count) as scikit-learn's "balanced"."""
    if kind == "none":
        return np.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (classes * np.maximum(counts, 1))


class LaneProgram:
    """The three functions of one lane that a program compiles, for K lanes, in `bench.lanes`.

    Args:
        program: the plan.
        image_shape: (H, W, C).
        examples: N.
        dtype: of parameters and arithmetic.
    """

    def __init__(self, program: ProgramPlan, image_shape: Shape, examples: int, dtype: Any):
        self.program, self.image_shape = program, image_shape
        self.examples, self.dtype = examples, dtype
        self.steps_per_epoch = -(-examples // program.batch_size)
        network = nnx.eval_shape(self._network)
        self._graph: Any
        self._graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)  # type: ignore[misc]
        self.packing, self.stats_packing = Packing(params), Packing(stats)

    def _network(self) -> Network:
        build = Build(self.dtype, self.program.dropout)
        return Network(self.program.layers, self.image_shape, build)

    def fresh(self, params: jax.Array, stats: jax.Array, hyper: Mapping[str, jax.Array]) -> Lane:
        """The state from which a trial starts, with (P,) and (Q,) from `initial_values`."""
        zero = jnp.zeros((), self.dtype)
        optimizer = optim.init(self.program.optimizers, hyper, params)
        return Lane(params, stats, optimizer, hyper, zero, zero, zero, zero)

    def train(self, lane: Lane, epoch: Epoch, first: jax.Array, data: TrainingSet) -> Lane:
        """S steps of one epoch.

        Args:
            lane: the state.
            epoch: the trial's own.
            first: () int32, the first of these steps, counted in the epoch.
            data: the training set.
        """
        sums = (lane.loss, lane.weight, lane.correct, lane.seen)
        sums = jax.tree.map(lambda total: jnp.where(first == 0, 0, total), sums)
        lane = lane._replace(**dict(zip(("loss", "weight", "correct", "seen"), sums, strict=True)))

        def step(lane: Lane, now: tuple[Array, Array]) -> tuple[Lane, None]:
            index, rate = now

            def update() -> Lane:
                return self._step(lane, epoch, index, rate, data)

            if self.steps_per_epoch % self.program.steps == 0:
                return update(), None
            return lax.cond(index < self.steps_per_epoch, update, lambda: lane), None

        steps = first + jnp.arange(self.program.steps, dtype=jnp.int32)
        return lax.scan(step, lane, (steps, epoch.rates))[0]

    def _step(self, lane: Lane, epoch: Epoch, index: Array, rate: Array, data: TrainingSet) -> Lane:
        """One update, on the epoch's batch number `index`; the last batch may be partly padding."""
        hyper, size = lane.hyper, self.program.batch_size
        places = index * size + jnp.arange(size, dtype=jnp.int32)
        mask = places < self.examples
        rows = epoch.order[jnp.minimum(places, self.examples - 1)]
        images = data.images[rows].astype(self.dtype)
        if self.program.augment:
            drawn = draws.uniform(epoch.augment_key, index, 0, (DRAWS, size))
            images = augment(drawn, images, hyper["flip"], hyper["shift"], hyper["crop"])
        images, labels = self._standardised(images, data), data.labels[rows]
        weights = mask * hyper["class_weights"][labels]
        # A mask costs batch norm another pass over its input: it is left out where every batch is full.
        told = Step(
            train=True,
            values=hyper["values"],
            key=epoch.dropout_key,
            stream=index,
            mask=mask if self.examples % size else None,
        )

        def objective(params: Any) -> tuple[jax.Array, tuple[Any, jax.Array]]:
            logits, stats = self._forward(params, lane.stats, images, told)
            targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=self.dtype)
            targets = optax.smooth_labels(targets, hyper["label_smoothing"])
            losses = optax.softmax_cross_entropy(logits, targets)
            return (weights * losses).sum() / weights.sum(), (stats, logits)

        tree = self.packing.unpack(lane.params)
        (loss, (stats, logits)), gradients = jax.value_and_grad(objective, has_aux=True)(tree)
        params, optimizer = optim.update(
            self.program.optimizers,
            hyper["family"],
            hyper,
            rate,
            self.packing.pack(gradients),
            lane.optimizer,
            lane.params,
        )
        hits = mask & (logits.argmax(-1) == labels)
        return lane._replace(
            params=params,
            stats=stats,
            optimizer=optimizer,
            loss=lane.loss + loss * weights.sum(),
            weight=lane.weight + weights.sum(),
            correct=lane.correct + hits.sum(),
            seen=lane.seen + mask.sum(),
        )

    def evaluate(self, lane: Lane, data: EvaluationSet, training: TrainingSet) -> Evaluation:
        """Plain cross-entropy and hits, without dropout, every example counted once."""
        told = Step(False, lane.hyper["values"])
        params = self.packing.unpack(lane.params)

        def batch(sums: tuple, part: EvaluationSet) -> tuple[tuple, jax.Array]:
            images = self._standardised(part.images.astype(self.dtype), training)
            logits, _ = self._forward(params, lane.stats, images, told)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, part.labels)
            predicted = logits.argmax(-1).astype(jnp.int32)
            loss, correct = sums
            hits = (predicted == part.labels).astype(self.dtype)
            return (
                loss.at[part.segment].add(losses),
                correct.at[part.segment].add(hits),
            ), predicted

        zeros = jnp.zeros(PADDING + 1, self.dtype)
        (loss, correct), predicted = lax.scan(batch, (zeros, zeros), data)
        predicted, segment = predicted.reshape(-1), data.segment.reshape(-1)
        chosen, others = segment == TEST, predicted.max() + 1
        one_class = (
            jnp.where(chosen, predicted, -1).max() == jnp.where(chosen, predicted, others).min()
        )
        return Evaluation(loss[:PADDING], correct[:PADDING], predicted, one_class)

    def _forward(
        self, params: Any, stats: jax.Array, images: jax.Array, told: Step
    ) -> tuple[jax.Array, jax.Array]:
        network = nnx.merge(self._graph, params, self.stats_packing.unpack(stats))
        logits = network(images, told)
        moved = self.stats_packing.pack(nnx.state(network, nnx.BatchStat))
        return logits, moved.astype(stats.dtype)

    def _standardised(self, images: Array, data: TrainingSet) -> jax.Array:
        """Pixels 0…255 → mean 0 and deviation 1 over the training set, channel by channel."""
        mean, std = data.mean.astype(self.dtype), data.std.astype(self.dtype)
        return (images / 255 - mean) / std
