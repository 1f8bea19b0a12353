"""The Flax NNX module that a tuple of layers describes.

Letters: B examples, H×W pixels, C channels, V values (`layers.values`: a program's lanes differ in them).
"""

from collections.abc import Callable, Collection
from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from bench import draws, ops
from bench import layers as spec
from bench.draws import Array
from bench.errors import ConfigError
from bench.layers import Layers, Shape

_DRAW_BITS = 26  # each dropout layer draws at most 2²⁶ numbers a step: 32 bits count 64 such layers

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "silu": jax.nn.silu,
    "leaky_relu": jax.nn.leaky_relu,
    "softplus": jax.nn.softplus,
    "identity": lambda x: x,
}


class Step(NamedTuple):
    """What one pass through the network is told beside its images.

    Attributes:
        train: batch statistics and dropout are in use (static).
        values: (V,) the lane's own values of what its program's skeleton leaves open.
        key: (2,) uint32, see `draws`; None where nothing is dropped.
        stream: () the number of the step, for `draws`.
        mask: (B,) bool, False for the rows that only fill up the batch; None where all are real.
    """

    train: bool
    values: jax.Array
    key: Array | None = None
    stream: Array | int = 0
    mask: jax.Array | None = None


class Network(nnx.Module):
    """(B, H, W, C) images → (B, classes) logits, or whatever the last layer gives."""

    def __init__(self, layers: Layers, image_shape: Shape, build: "Build"):
        self.layers = _sequence(layers, image_shape, build)

    def __call__(self, images: jax.Array, step: Step) -> jax.Array:
        for layer in self.layers:
            images = layer(images, step)
        return images


class Build:
    """What layers need while they are built.

    Args:
        dtype: of parameters and computation.
        dropout: the places in `Step.values` at which a lane may drop anything; elsewhere nothing is drawn.
    """

    def __init__(self, dtype: Any, dropout: Collection[int]):
        # Initial values come from `bench.initial`; a network built to run is never initialised.
        self.arguments = {"rngs": nnx.Rngs(0), "dtype": dtype, "param_dtype": dtype}
        self.dropout = dropout
        self._values = self._draws = 0

    def next_value(self) -> int:
        """The place in `Step.values` of the next open field, in `layers.values`' order."""
        self._values += 1
        return self._values - 1

    def next_draws(self) -> int:
        """A range of elements for the draws of one layer, apart from every other layer's."""
        if self._draws == 1 << 32 - _DRAW_BITS:
            raise ConfigError(f"more than {self._draws} dropout layers; leave some out")
        self._draws += 1
        return (self._draws - 1) << _DRAW_BITS


def _sequence(layers: Layers, shape: Shape, build: Build) -> nnx.List:
    modules = []
    for layer in layers:
        modules.append(_module(layer, shape, build))
        shape = layer.output_shape(shape)
    return nnx.List(modules)


@singledispatch
def _module(layer: Any, shape: Shape, build: Build) -> nnx.Module:
    raise TypeError(f"no module for the layer {layer!r}")


class _Conv(nnx.Conv):
    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        return super().__call__(x)


@_module.register
def _(layer: spec.Conv, shape: Shape, build: Build) -> nnx.Module:
    return _Conv(
        shape[-1],
        layer.features,
        layer.kernel,
        layer.stride,
        padding=layer.padding,
        use_bias=layer.bias,
        conv_general_dilated=ops.convolve,
        **build.arguments,
    )


class _Dense(nnx.Linear):
    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        return super().__call__(x)


@_module.register
def _(layer: spec.Dense, shape: Shape, build: Build) -> nnx.Module:
    return _Dense(shape[-1], layer.units, use_bias=layer.bias, **build.arguments)


class _BatchNorm(nnx.BatchNorm):
    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        mask = step.mask
        if mask is not None:
            mask = mask.reshape(-1, *(1,) * (x.ndim - 1))
        return super().__call__(x, use_running_average=not step.train, mask=mask)


@_module.register
def _(layer: spec.BatchNorm, shape: Shape, build: Build) -> nnx.Module:
    norm = _BatchNorm(shape[-1], momentum=layer.momentum, epsilon=layer.epsilon, **build.arguments)
    # Flax keeps running statistics in float32, whatever the parameters are in.
    norm.mean = nnx.BatchStat(jnp.zeros(shape[-1], build.arguments["dtype"]))
    norm.var = nnx.BatchStat(jnp.ones(shape[-1], build.arguments["dtype"]))
    return norm


class _Dropout(nnx.Module):
    """Inverted dropout whose rate may be traced (`nnx.Dropout` refuses that); rate 0 is exact."""

    def __init__(self, place: int, first: int):
        self.place, self.first = place, first

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        if not step.train or step.key is None:
            return x
        if x.size > 1 << _DRAW_BITS:
            raise ConfigError(
                f"dropout of {x.size:,} numbers a batch; use a smaller batch or image"
            )
        rate = step.values[self.place]
        kept = draws.uniform(step.key, step.stream, self.first, x.shape) >= rate
        return jnp.where(kept, x / (1 - rate).astype(x.dtype), 0)


@_module.register
def _(layer: spec.Dropout, shape: Shape, build: Build) -> nnx.Module:
    place, first = build.next_value(), build.next_draws()
    return _Dropout(place, first) if place in build.dropout else _Function(lambda x: x)


class _Function(nnx.Module):
    """A layer without parameters."""

    def __init__(self, function: Callable[[jax.Array], jax.Array]):
        self.function = function

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        return self.function(x)


@_module.register
def _(layer: spec.Activation, shape: Shape, build: Build) -> nnx.Module:
    return _Function(ACTIVATIONS[layer.name])


@_module.register
def _(layer: spec.MaxPool, shape: Shape, build: Build) -> nnx.Module:
    return _Function(lambda x: ops.max_pool(x, layer.window, layer.stride, layer.padding))


@_module.register
def _(layer: spec.AveragePool, shape: Shape, build: Build) -> nnx.Module:
    return _Function(lambda x: ops.average_pool(x, layer.window, layer.stride, layer.padding))


@_module.register
def _(layer: spec.Flatten, shape: Shape, build: Build) -> nnx.Module:
    return _Function(lambda x: x.reshape(x.shape[0], -1))


@_module.register
def _(layer: spec.GlobalPool, shape: Shape, build: Build) -> nnx.Module:
    if layer.kind == "max":
        return _Function(lambda x: x.max((1, 2)))
    return _Function(lambda x: x.mean((1, 2)))


class _Parallel(nnx.Module):
    """Several sequences over one input, their outputs combined."""

    def __init__(self, paths: list[nnx.List], combine: Callable[[list[jax.Array]], jax.Array]):
        self.paths = nnx.List(paths)
        self.combine = combine

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        outputs = []
        for path in self.paths:
            y = x
            for layer in path:
                y = layer(y, step)
            outputs.append(y)
        return self.combine(outputs)


@_module.register
def _(layer: spec.Branch, shape: Shape, build: Build) -> nnx.Module:
    paths = [_sequence(branch, shape, build) for branch in layer.branches]
    return _Parallel(paths, lambda outputs: jnp.concatenate(outputs, -1))


@_module.register
def _(layer: spec.Residual, shape: Shape, build: Build) -> nnx.Module:
    paths = [_sequence(path, shape, build) for path in (layer.layers, layer.shortcut)]
    return _Parallel(paths, lambda outputs: outputs[0] + outputs[1])
