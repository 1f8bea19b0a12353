"""Plain Flax NNX and Optax: stock layers, one trial after another or under `vmap`, as a harness without
lowerings of its own would do it. An update is a dispatch, or an epoch is, whichever is the quicker.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from bench import layers as spec
from bench.trial import Trial
from benchmarks.contenders.contender import Data, Peer


class Flax(Peer):
    """T trials.

    Args:
        trials, data: see `Peer`.
        vmapped: the trials side by side; else there is one.
        scan: an epoch is one dispatch.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        data: Data,
        vmapped: bool = False,
        scan: bool = False,
    ):
        super().__init__(trials, data)
        self.scan, self.vmapped = scan, vmapped
        rule = _rule(trials[0])
        graphs, states = zip(*(self._start(trial, rule) for trial in trials), strict=True)
        self.state = (
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if vmapped else states[0]
        )
        # The learning rate is data: one compilation for all trials of an architecture and optimizer.
        key = (self.layers, trials[0]["optimizer"], vmapped, scan)
        if key not in _compiled:
            _compiled[key] = _functions(graphs[0], rule, vmapped, scan)
        self.update, self.apply = _compiled[key]
        self.images, self.labels = _on_device(data)

    def _start(self, trial: Trial, rule: optax.GradientTransformation) -> tuple[Any, tuple]:
        model = _model(self.layers, self.data.shape, self.initial(trial), trial["seed"])
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        rate = jnp.asarray(trial["learning_rate"], jnp.float32)
        return graph, (params, rest, rule.init(params), rate)

    def train(self, order: np.ndarray) -> float:
        start = time.perf_counter()
        for rows in (order,) if self.scan else order:
            self.state = self.update(self.state, rows, self.images, self.labels)
        jax.block_until_ready(self.state)
        return time.perf_counter() - start

    def forward(self, images: np.ndarray) -> np.ndarray:
        logits = np.asarray(self.apply(self.state, images))
        return logits if self.vmapped else logits[None]

    @property
    def parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.state[0])) // len(self.trials)

    @classmethod
    def groups(cls, trials: Sequence[Trial], data: Data, options: Mapping[str, Any]) -> list:
        """Under `vmap`, those of one architecture, optimizer and batch size."""
        if not options.get("vmapped"):
            return super().groups(trials, data, options)
        found: dict[Any, list[Trial]] = {}
        for trial in trials:
            key = (trial.layers(data.classes), trial["optimizer"], trial["batch_size"])
            found.setdefault(key, []).append(trial)
        return list(found.values())


_compiled: dict[Any, tuple[Callable, Callable]] = {}


@functools.cache
def _on_device(data: Data) -> tuple[jax.Array, jax.Array]:
    return jax.device_put(data.training)


def _rule(trial: Trial) -> optax.GradientTransformation:
    if trial["optimizer"] == "sgd":
        return optax.identity()
    return optax.scale_by_adam(trial["beta1"], trial["beta2"], trial["eps"])


def _functions(
    graph: Any, rule: optax.GradientTransformation, vmapped: bool, scan: bool
) -> tuple[Callable, Callable]:
    """Compiled: `update(state, rows, images, labels)`, one or an epoch of them; `apply(state, images)`."""

    def update(state: tuple, rows: jax.Array, images: jax.Array, labels: jax.Array) -> tuple:
        params, rest, moments, rate = state

        def loss(params: Any) -> tuple:
            # Made anew in this trace, for Flax to let statistics change.
            model = nnx.merge(graph, params, jax.tree.map(lambda leaf: leaf, rest))
            model.train()
            losses = optax.softmax_cross_entropy_with_integer_labels(
                model(images[rows]), labels[rows]
            )
            return losses.mean(), nnx.state(model, nnx.Not(nnx.Param))

        gradients, rest = jax.grad(loss, has_aux=True)(params)
        updates, moments = rule.update(gradients, moments, params)
        updates = jax.tree.map(lambda u: -rate * u, updates)
        return optax.apply_updates(params, updates), rest, moments, rate

    def apply(state: tuple, images: jax.Array) -> jax.Array:
        model = nnx.merge(graph, *state[:2])
        model.eval()
        return model(images)

    def updates(state: tuple, order: jax.Array, *data: jax.Array) -> tuple:
        return lax.scan(lambda s, rows: (one(s, rows, *data), None), state, order)[0]

    one = jax.vmap(update, (0, None, None, None)) if vmapped else update
    each = jax.vmap(apply, (0, None)) if vmapped else apply
    return jax.jit(updates if scan else one, donate_argnums=0), jax.jit(each)


def _model(
    layers: spec.Layers,
    shape: spec.Shape,
    initial: Sequence[Mapping[str, np.ndarray]],
    seed: int,
) -> nnx.Module:
    rngs = nnx.Rngs(seed)
    parts = zip(spec.inputs(layers, shape), initial, strict=True)
    return nnx.Sequential(*(_module(layer, s, values, rngs) for (layer, s), values in parts))


def _module(
    layer: Any, shape: spec.Shape, values: Mapping[str, np.ndarray], rngs: nnx.Rngs
) -> Callable:
    made: dict[str, Any] = {"rngs": rngs, "kernel_init": lambda *_: jnp.asarray(values["kernel"])}
    match layer:
        case spec.Conv(features, kernel, stride, padding, bias):
            return nnx.Conv(
                shape[-1], features, kernel, stride, padding=padding, use_bias=bias, **made
            )
        case spec.Dense(units, bias):
            return nnx.Linear(shape[-1], units, use_bias=bias, **made)
        case spec.MaxPool(window, stride, padding):
            return lambda x: nnx.max_pool(x, window, stride, padding)
        case spec.BatchNorm(momentum, epsilon):
            return nnx.BatchNorm(shape[-1], momentum=momentum, epsilon=epsilon, rngs=rngs)
        case spec.Activation("relu"):
            return nnx.relu
        case spec.Dropout(rate):
            return nnx.Dropout(rate, rngs=rngs) if rate else lambda x: x
        case spec.Flatten():
            return lambda x: x.reshape(x.shape[0], -1)
    raise TypeError(f"no Flax module for {layer}")


CONTENDER = Flax
