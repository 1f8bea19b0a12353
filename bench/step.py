"""What one lane computes: a fresh trial's state, S iterations of training, an evaluation.

Pure functions of data. An *iteration* trains on one microbatch; an update follows when the trial's own batch
is complete. Where all trials of a program have one batch size, an iteration is an update.

Letters: N training examples, M evaluated ones, H×W pixels, C channels, S iterations a dispatch, B examples a
microbatch on one device; P parameters and Q statistics of the program.

Random numbers are functions of (seed, purpose, epoch, step): see `bench.draws`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax

from bench import draws, optim, precision
from bench.data.augment import DRAWS, augment
from bench.draws import Array
from bench.layers import Shape
from bench.mesh import BATCH_AXIS
from bench.modules import Build, Step
from bench.network import Network
from bench.ops import computed_once
from bench.ops.lowerings import chooser
from bench.outputs import SigmoidOutput
from bench.plan import ProgramPlan
from bench.state import PADDING, TEST, Epoch, Evaluation, EvaluationSet, Lane, TrainingSet
from bench.vector import Packing, Parts


class LaneProgram:
    """The three functions of one lane that a program compiles, for K lanes, in `bench.lanes`.

    Args:
        program: the plan.
        image_shape: (H, W, C).
        examples: N.
        dtype: of parameters and arithmetic, or a name of `precision.PRECISIONS`.
        shares: devices over whose `BATCH_AXIS` a lane's examples are spread.
        curve: training also returns the sums of each iteration.

    Attributes:
        sites: where the network needs an operation; `lowerings` says how each is computed.
        log_probabilities: the network ends with them, and the loss takes no softmax.
    """

    def __init__(
        self,
        program: ProgramPlan,
        image_shape: Shape,
        examples: int,
        dtype: Any,
        shares: int = 1,
        curve: bool = False,
    ):
        self.program, self.image_shape = program, image_shape
        self.examples, self.shares, self.curve = examples, shares, curve
        self.log_probabilities = isinstance(program.layers[-1], SigmoidOutput)
        self.dtype, self.computed = precision.of(dtype).stored, precision.of(dtype).computed
        self.iterations_per_epoch = -(-examples // program.microbatch)
        network = nnx.eval_shape(self._network)
        self._graph: Any
        self._graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)  # type: ignore[misc]
        self.packing, self.stats_packing = Packing(params), Packing(stats)

    def _network(self) -> Network:
        axis = BATCH_AXIS if self.shares > 1 else None
        choose = chooser(self.program.lowerings, "auto", self.computed)
        build = Build(self.dtype, self.program.padded, axis, choose, self.computed)
        network = Network(self.program.layers, self.image_shape, build)
        self.lowerings = {str(site): choose(site) for site in build.sites}
        self.sites = tuple(build.sites)
        return network

    def fresh(self, params: jax.Array, stats: jax.Array, hyper: Mapping[str, jax.Array]) -> Lane:
        """The state from which a trial starts, with its (P,) and (Q,) initial values."""
        zero, parts = jnp.zeros((), self.dtype), self.packing.split(params)
        optimizer = optim.init(self.program.optimizers, hyper, parts)
        # Never empty: empty arrays lose their sharding.
        gradient = jax.tree.map(jnp.zeros_like, parts) if self.program.accumulates else zero[None]
        moving, nan = self.stats_packing.split(stats), jnp.full_like(zero, jnp.nan)
        return Lane(parts, moving, optimizer, hyper, gradient, zero, zero, zero, zero, zero, nan)

    def train(
        self, lane: Lane, epoch: Epoch, first: jax.Array, data: TrainingSet
    ) -> tuple[Lane, jax.Array | None]:
        """S iterations of one epoch.

        Args:
            lane: the state.
            epoch: the trial's own.
            first: () int32, the first of these iterations, counted in the epoch.
            data: the training set.

        Returns:
            The state after them, and, if asked for, (S, 4) `loss`, `weight`, `correct` and `seen` of each
            iteration alone, zero beyond the epoch's end.
        """
        sums = (lane.loss, lane.weight, lane.correct, lane.seen)
        sums = jax.tree.map(lambda total: jnp.where(first == 0, 0, total), sums)
        lane = lane._replace(**dict(zip(("loss", "weight", "correct", "seen"), sums, strict=True)))

        def iteration(lane: Lane, now: tuple[Array, Array]) -> tuple[Lane, jax.Array | None]:
            index, rate = now

            def run() -> tuple[Lane, jax.Array | None]:
                after, sums = self._iteration(lane, epoch, index, rate, data)
                return after, sums if self.curve else None

            if self.iterations_per_epoch % self.program.steps == 0:
                return run()
            beyond = (lane, self.no_sums())
            return lax.cond(index < self.iterations_per_epoch, run, lambda: beyond)

        indices = first + jnp.arange(self.program.steps, dtype=jnp.int32)
        return lax.scan(iteration, lane, (indices, epoch.rates))

    def no_sums(self, *shape: int) -> jax.Array | None:
        """(…, 4): those of iterations that are not trained."""
        return jnp.zeros((*shape, 4), self.dtype) if self.curve else None

    def _iteration(
        self, lane: Lane, epoch: Epoch, index: Array, rate: Array, data: TrainingSet
    ) -> tuple[Lane, jax.Array]:
        """Trains on the epoch's microbatch number `index`, and updates where a batch ends with it.

        Returns:
            The state, and (4,) the microbatch's own `loss`, `weight`, `correct` and `seen`.
        """
        # Which update this belongs to, and how far in its batch it begins: the sources of chance, which do
        # not know of microbatches.
        several = lane.hyper["microbatches"] if self.program.accumulates else 1
        update, place = index // several, index % several
        images, labels, mask, row = self._microbatch(lane, epoch, index, update, place, data)
        weights = mask * lane.hyper["class_weights"][labels]
        # Of a mean the gradient is taken at once; of a sum it would be divided later, a pass over all of it.
        count = 1 if self.program.accumulates else self._summed(weights.sum())
        # Batch norm, which alone looks at the mask, is quicker without: no batch of a full epoch needs one.
        full = self.examples % self.program.microbatch == 0
        told = Step(
            train=True,
            values=lane.hyper["values"],
            ranks=lane.hyper.get("ranks"),
            key=epoch.dropout_key,
            stream=update,
            row=row,
            mask=None if full and self.program.microbatch % self.shares == 0 else mask,
        )

        def objective(params: Any) -> tuple[jax.Array, tuple[Any, ...]]:
            logits, stats = self._forward(params, lane.stats, images, told)
            targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=self.dtype)
            targets = optax.smooth_labels(targets, lane.hyper["label_smoothing"])
            if self.log_probabilities:
                losses = -(targets * logits).sum(-1)
            else:
                losses = optax.softmax_cross_entropy(logits, targets)
            loss = (weights * losses).sum()
            return loss / count, (loss, stats, logits)

        tree = self.packing.unpack(lane.params)
        gradient, (loss, stats, logits) = jax.grad(objective, has_aux=True)(tree)
        hits = (mask & (logits.argmax(-1) == labels)).sum().astype(self.dtype)
        sums = jnp.stack([loss, weights.sum(), hits, mask.sum().astype(self.dtype)])
        gradient, sums = self._summed((self.packing.pack(gradient), sums))
        lane = lane._replace(
            stats=stats,
            loss=lane.loss + sums[0],
            weight=lane.weight + sums[1],
            correct=lane.correct + sums[2],
            seen=lane.seen + sums[3],
            last_loss=jnp.where(jnp.isfinite(sums[0]), sums[0] / sums[1], lane.last_loss),
        )
        if not self.program.accumulates:
            return self._updated(lane, gradient, rate), sums
        ends = (place == several - 1) | (index == self.iterations_per_epoch - 1)
        return self._accumulated(lane, gradient, sums[1], rate, ends), sums

    def _accumulated(
        self, lane: Lane, gradient: Parts, weight: jax.Array, rate: Array, ends: Array
    ) -> Lane:
        """With a microbatch's gradient and weight added to its batch's; updated if that `ends` with it."""
        gradient = jax.tree.map(jnp.add, lane.gradient, gradient)
        weight = lane.batch_weight + weight

        def complete() -> Lane:
            done = self._updated(lane, jax.tree.map(lambda g: g / weight, gradient), rate)
            zeros = jax.tree.map(jnp.zeros_like, (gradient, weight))
            return done._replace(gradient=zeros[0], batch_weight=zeros[1])

        def gather() -> Lane:
            return lane._replace(gradient=gradient, batch_weight=weight)

        return lax.cond(ends, complete, gather)

    @jax.named_scope("batch")
    def _microbatch(
        self,
        lane: Lane,
        epoch: Epoch,
        index: Array,
        update: Array,
        place: Array | int,
        data: TrainingSet,
    ) -> tuple[jax.Array, jax.Array, jax.Array, Array]:
        """This device's part: images (B, H, W, C), labels (B,), mask (B,), and its first row in the batch."""
        size, program = -(-self.program.microbatch // self.shares), self.program
        share = lax.axis_index(BATCH_AXIS) * size if self.shares > 1 else 0
        within = share + jnp.arange(size, dtype=jnp.int32)
        places = index * program.microbatch + within
        mask = (places < self.examples) & (within < program.microbatch)
        rows = epoch.order[jnp.minimum(places, self.examples - 1)]
        images, row = data.images[rows].astype(self.dtype), place * program.microbatch + share
        if program.augment:
            hyper = lane.hyper
            batch = hyper["microbatches"].astype(jnp.uint32) * program.microbatch
            element = row + jnp.arange(size, dtype=jnp.uint32)
            element = jnp.arange(DRAWS, dtype=jnp.uint32)[:, None] * batch + element
            drawn = computed_once(
                lambda: draws.uniform(epoch.augment_key, update, element.astype(jnp.uint32)),
                never=1,
            )
            images = augment(drawn, images, hyper["flip"], hyper["shift"], hyper["crop"])
        return self._standardised(images, data), data.labels[rows], mask, row

    @jax.named_scope("update")
    def _updated(self, lane: Lane, gradient: Parts, rate: Array) -> Lane:
        params, optimizer = optim.update(
            self.program.optimizers,
            lane.hyper["family"],
            lane.hyper,
            rate,
            gradient,
            lane.optimizer,
            lane.params,
        )
        return lane._replace(params=params, optimizer=optimizer)

    @jax.named_scope("evaluate")
    def evaluate(self, lane: Lane, data: EvaluationSet, training: TrainingSet) -> Evaluation:
        """Plain cross-entropy and hits, without dropout, every example counted once."""
        told = Step(False, lane.hyper["values"], lane.hyper.get("ranks"))
        params = self.packing.unpack(lane.params)

        def batch(sums: tuple, part: EvaluationSet) -> tuple[tuple, jax.Array]:
            """The sums with a batch's losses and hits by segment added, and its predictions."""
            images = self._standardised(part.images.astype(self.dtype), training)
            logits, _ = self._forward(params, lane.stats, images, told)
            if self.log_probabilities:
                losses = -jnp.take_along_axis(logits, part.labels[:, None], -1)[:, 0]
            else:
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, part.labels)
            predicted = logits.argmax(-1).astype(jnp.int32)
            loss, correct = sums
            hits = (predicted == part.labels).astype(self.dtype)
            return (
                loss.at[part.segment].add(losses),
                correct.at[part.segment].add(hits),
            ), predicted

        zeros = jnp.zeros(PADDING + 1, self.dtype)
        sums, predicted = lax.scan(batch, (zeros, zeros), data)
        loss, correct = self._summed(sums)
        largest = jnp.where(data.segment == TEST, predicted, -1).max()
        smallest = jnp.where(data.segment == TEST, predicted, jnp.iinfo(jnp.int32).max).min()
        if self.shares > 1:
            largest = lax.pmax(largest, BATCH_AXIS)
            smallest = lax.pmin(smallest, BATCH_AXIS)
        return Evaluation(loss[:PADDING], correct[:PADDING], predicted, largest == smallest)

    def _summed(self, parts: Any) -> Any:
        """Over the devices that share a lane's examples."""
        return lax.psum(parts, BATCH_AXIS) if self.shares > 1 else parts

    @jax.named_scope("forward")  # its transpose is the backward pass
    def _forward(
        self, params: Any, stats: Parts, images: jax.Array, told: Step
    ) -> tuple[jax.Array, Parts]:
        network = nnx.merge(self._graph, params, self.stats_packing.unpack(stats))
        logits = network(images, told)
        moved = self.stats_packing.pack(nnx.state(network, nnx.BatchStat))
        return logits.astype(self.dtype), tuple(part.astype(self.dtype) for part in moved)

    def _standardised(self, images: Array, data: TrainingSet) -> jax.Array:
        """Pixels 0…255 → mean 0 and deviation 1 over the training set, channel by channel."""
        mean, std = data.mean.astype(self.dtype), data.std.astype(self.dtype)
        return (images / 255 - mean) / std
