"""Networks and what passes through them, as the tests of several files want it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bench import draws
from bench.layers import Layers, Shape
from bench.mesh import compiler_options
from bench.modules import Build, Step
from bench.network import Network

AGREE = 1e-11  # of 1, or of an array's largest number; sums are taken in another order
# Compiled five times faster: what runs once need not run fast.
OPTIONS = {"xla_backend_optimization_level": 0, **(compiler_options("cpu") or {})}
quick = functools.partial(jax.jit, compiler_options=OPTIONS)


class Parts(NamedTuple):
    """A module, split: its graph, parameters and batch statistics."""

    graph: Any
    params: Any
    stats: Any

    @classmethod
    def of(cls, make: Callable[[], nnx.Module]) -> "Parts":
        """Only shapes: to compile initial values that nobody looks at takes seconds."""
        return cls(*nnx.split(nnx.eval_shape(make), nnx.Param, nnx.BatchStat))

    def call(self, images: Any, told: Step) -> np.ndarray:
        run = quick(lambda *parts: nnx.merge(self.graph, *parts)(images, told))
        return np.asarray(run(self.params, self.stats))


def network_of(layers: Layers, image: Shape) -> Parts:
    """A network whose parameters and statistics are nowhere neutral."""
    parts = Parts.of(lambda: Network(layers, image, Build(jnp.float64)))
    rng = np.random.default_rng(0)

    def fill(path: tuple, leaf: jax.Array) -> jax.Array:
        drawn = rng.normal(size=leaf.shape)
        return jnp.asarray(np.abs(drawn) + 0.5 if "var" in str(path) else drawn)

    return Parts(parts.graph, *jax.tree_util.tree_map_with_path(fill, parts[1:]))


def passed(parts: Parts, call: Callable, images: Any, rows: int | None = None) -> list:
    """Outputs, new statistics, and the gradients of a function of the outputs' first `rows`."""

    def objective(params: Any, images: jax.Array, stats: Any) -> tuple:
        stats = jax.tree.map(lambda leaf: leaf, stats)  # variables that may change under `grad`
        module = nnx.merge(parts.graph, params, stats)
        outputs = call(module, images)[:rows]
        # Sines weigh each output differently.
        loss = (outputs * np.sin(1 + np.arange(outputs.size)).reshape(outputs.shape)).sum()
        return loss, (outputs, nnx.state(module, nnx.BatchStat))

    gradients = quick(jax.grad(objective, (0, 1), has_aux=True))
    results = gradients(parts.params, images, parts.stats)
    (for_params, for_images), (outputs, stats) = results
    leaves = [outputs, for_images, *jax.tree.leaves(stats), *jax.tree.leaves(for_params)]
    return [np.array(leaf) for leaf in leaves]


def operations(function: Callable, *arguments: Any) -> float:
    """How many there are in the program that XLA makes, by its own count."""
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def assert_agree(got: list, wanted: list) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=0, atol=AGREE * max(1, np.abs(other).max()))


def pixels(batch: int, image: Shape) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, *image))


def step(train: bool, **others: Any) -> Step:
    """Of a network of one architecture, in which nothing is dropped."""
    return Step(train, key=jnp.asarray(draws.key(0, draws.DROPOUT)), stream=5, **others)
