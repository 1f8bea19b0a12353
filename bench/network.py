"""The Flax NNX module that a tuple of layers describes.

In a program of several architectures it is the widest of them (`bench.padding`), and each lane tells it, as
data, which part is its own.

Letters: B examples, H×W pixels, C channels; V values and R ranks, see `padding.Fit`.
"""

import math
from collections.abc import Callable
from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from bench import draws, ops
from bench import layers as spec
from bench.draws import Array
from bench.layers import Layers, Shape
from bench.padding import DRAW_BITS, has_ranks

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
        values: (V,) the lane's own; None where there is but one architecture, and nothing is dropped.
        ranks: (R,) int32 the lane's own; None where nothing is padded.
        key: (2,) uint32, see `draws`; None where nothing is dropped.
        stream: () the number of the step, for `draws`.
        row: () which example of its batch the first of these B is, for `draws`.
        mask: (B,) bool, False for the rows that only fill up the batch; None where all are real.
    """

    train: bool
    values: jax.Array | None = None
    ranks: jax.Array | None = None
    key: Array | None = None
    stream: Array | int = 0
    row: Array | int = 0
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
    """What layers need while they are built, and which of a lane's data belongs to which of them.

    Args:
        dtype: of parameters and computation.
        padded: whether lanes may be narrower or shallower than the layers say.
        axis: mesh axis over which the examples of a batch are spread; None where one device has them all.
    """

    def __init__(self, dtype: Any, padded: bool = False, axis: str | None = None):
        # Initial values come from `bench.initial`; a network built to run is never initialised.
        self.arguments = {"rngs": nnx.Rngs(0), "dtype": dtype, "param_dtype": dtype}
        self.padded, self.axis = padded, axis
        self._values = self._ranks = 0

    def next_values(self, how_many: int = 1) -> int:
        """The place in `Step.values` of the next open layer's first value, in `padding.Fit`'s order."""
        self._values += how_many
        return self._values - how_many

    def next_ranks(self, layer: spec.Layer, shape: Shape) -> slice | None:
        """The places in `Step.ranks` of a layer's input channels; None where nothing is padded."""
        if not has_ranks(layer):
            return None
        self._ranks += shape[-1]
        return slice(self._ranks - shape[-1], self._ranks) if self.padded else None


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
    mesh_axis: str | None = None

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        mask = step.mask
        if mask is not None:
            mask = mask.reshape(-1, *(1,) * (x.ndim - 1))
        if step.train and self.mesh_axis:
            return self._spread(x, mask)
        return super().__call__(x, use_running_average=not step.train, mask=mask)

    def _spread(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """As in training elsewhere, with the sums taken over all devices: their counts may differ."""
        real = jnp.ones((*x.shape[:-1], 1), x.dtype) if mask is None else mask.astype(x.dtype)
        real = jnp.broadcast_to(real, x.shape)
        axes = tuple(range(x.ndim - 1))
        sums = jnp.stack([real.sum(axes), (x * real).sum(axes), (x * x * real).sum(axes)])
        count, total, squares = jax.lax.psum(sums, self.mesh_axis)
        mean = total / count
        var = jnp.maximum(0, squares / count - mean**2)
        self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean
        self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * var
        assert self.scale is not None  # Flax's switches for that are never used here
        assert self.bias is not None
        scale = jax.lax.rsqrt(var + self.epsilon) * self.scale[...]
        return (x - mean) * scale + self.bias[...]


@_module.register
def _(layer: spec.BatchNorm, shape: Shape, build: Build) -> nnx.Module:
    norm = _BatchNorm(shape[-1], momentum=layer.momentum, epsilon=layer.epsilon, **build.arguments)
    # Flax keeps running statistics in float32, whatever the parameters are in.
    norm.mean = nnx.BatchStat(jnp.zeros(shape[-1], build.arguments["dtype"]))
    norm.var = nnx.BatchStat(jnp.ones(shape[-1], build.arguments["dtype"]))
    norm.mesh_axis = build.axis
    return norm


class _LayerNorm(nnx.LayerNorm):
    ranks: slice | None = None

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        if self.ranks is None or step.ranks is None:
            return super().__call__(x)
        real = jnp.broadcast_to(step.ranks[self.ranks] >= 0, x.shape)
        return super().__call__(x, mask=real)


@_module.register
def _(layer: spec.LayerNorm, shape: Shape, build: Build) -> nnx.Module:
    norm = _LayerNorm(shape[-1], epsilon=layer.epsilon, **build.arguments)
    norm.ranks = build.next_ranks(layer, shape)
    return norm


class _Dropout(nnx.Module):
    """Inverted dropout whose rate may be traced (`nnx.Dropout` refuses that); rate 0 is exact.

    Every number of the input has its draw by its place in the trial's own, unpadded batch.
    """

    def __init__(self, place: int, ranks: slice | None):
        self.place, self.ranks = place, ranks

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        if not step.train or step.key is None or step.values is None:
            return x
        rate, number = step.values[self.place], step.values[self.place + 1]
        rank: Any = jnp.arange(x.shape[-1], dtype=jnp.uint32)
        channels: Any = x.shape[-1]
        if self.ranks is not None and step.ranks is not None:
            rank = step.ranks[self.ranks]
            channels, rank = (rank >= 0).sum().astype(jnp.uint32), rank.astype(jnp.uint32)
        pixels = math.prod(x.shape[1:-1])
        row = jnp.arange(len(x) * pixels, dtype=jnp.uint32).reshape(*x.shape[:-1], 1)
        row = row + jnp.asarray(step.row, jnp.uint32) * pixels
        first = number.astype(jnp.uint32) << DRAW_BITS
        kept = draws.uniform(step.key, step.stream, first + row * channels + rank) >= rate
        return jnp.where(kept, x / (1 - rate).astype(x.dtype), 0)


@_module.register
def _(layer: spec.Dropout, shape: Shape, build: Build) -> nnx.Module:
    place, ranks = build.next_values(2), build.next_ranks(layer, shape)
    return _Dropout(place, ranks) if layer.rate else _Function(lambda x: x)


class _Activation(nnx.Module):
    """The lane's own function of those that its program has; padded channels stay zero."""

    def __init__(self, names: tuple[str, ...], place: int | None, ranks: slice | None):
        self.names, self.place, self.ranks = names, place, ranks

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        functions = [ACTIVATIONS[name] for name in self.names]
        if self.place is None or step.values is None:
            y = functions[0](x)
        else:
            y = jax.lax.switch(step.values[self.place].astype(jnp.int32), functions, x)
        if self.ranks is None or step.ranks is None:
            return y
        return jnp.where(step.ranks[self.ranks] >= 0, y, 0)


@_module.register
def _(layer: spec.Activation, shape: Shape, build: Build) -> nnx.Module:
    place = build.next_values() if len(layer.names) > 1 else None
    return _Activation(layer.names, place, build.next_ranks(layer, shape))


class _Blocks(nnx.Module):
    """Blocks in a row; what a lane lacks is passed by, its channels at the places where they were."""

    def __init__(self, blocks: list[nnx.List], place: int | None):
        self.blocks, self.place = nnx.List(blocks), place

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        for number, block in enumerate(self.blocks):
            y = x
            for layer in block:
                y = layer(y, step)
            if number and self.place is not None and step.values is not None:
                y = jnp.where(number < step.values[self.place], y, _widened(x, y.shape[-1]))
            x = y
        return x


def _widened(x: jax.Array, channels: int) -> jax.Array:
    """`x` with as many channels; those cut off are padding."""
    more = max(0, channels - x.shape[-1])
    return jnp.pad(x[..., :channels], [(0, 0)] * (x.ndim - 1) + [(0, more)])


@_module.register
def _(layer: spec.Blocks, shape: Shape, build: Build) -> nnx.Module:
    place, blocks = build.next_values(), []
    for block in layer.blocks:
        blocks.append(_sequence(block, shape, build))
        shape = spec.output_shape(block, shape)
    return _Blocks(blocks, place if build.padded else None)


class _Function(nnx.Module):
    """A layer without parameters."""

    def __init__(self, function: Callable[[jax.Array], jax.Array]):
        self.function = function

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        return self.function(x)


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
