"""The Flax NNX modules of the layers that nest no others, and what they are told.

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
from bench.ops.lowerings import Choose, chooser
from bench.outputs import EPSILON, SigmoidOutput
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


class Build:
    """What layers need while they are built, and which of a lane's data belongs to which of them.

    Args:
        dtype: of parameters.
        padded: whether lanes may be narrower or shallower than the layers say.
        axis: mesh axis over which the examples of a batch are spread; None where one device has them all.
        choose: the lowering of a site; None for the likely best.
        computed: dtype of computation; None for that of the parameters.

    Attributes:
        sites: where an operation was asked for, in order.
    """

    def __init__(
        self,
        dtype: Any,
        padded: bool = False,
        axis: str | None = None,
        choose: Choose | None = None,
        computed: Any = None,
    ):
        # Initial values come from `bench.initial`; a network built to run is never initialised.
        self.arguments = {"rngs": nnx.Rngs(0), "dtype": computed or dtype, "param_dtype": dtype}
        self.padded, self.axis = padded, axis
        self.sites: list[ops.Site] = []
        self._choose = choose or chooser({}, "auto", computed or dtype)
        self._values = self._ranks = 0

    @property
    def first(self) -> bool:
        """Nothing that is trained has been built yet."""
        return not any(isinstance(site, ops.ConvSite | ops.DenseSite) for site in self.sites)

    def lowering(self, site: ops.Site) -> str:
        """How a site is to be computed."""
        self.sites.append(site)
        return self._choose(site)

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


@singledispatch
def module(layer: Any, shape: Shape, build: Build) -> nnx.Module:
    """The module of a layer for an input of this shape."""
    raise TypeError(f"no module for the layer {layer!r}")


class _Conv(nnx.Conv):
    site: ops.ConvSite
    lowering: str

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        x, kernel, bias = self.promote_dtype(
            (x, self.kernel[...], _value(self.bias)), dtype=self.dtype
        )
        return ops.conv_block(x, kernel, bias, self.site, self.lowering)


def conv(layer: Any, followers: Layers, shape: Shape, build: Build) -> nnx.Module:
    """A convolution's module, which does the layers that follow at once: a ReLU, a max pool, or both."""
    module = _Conv(
        shape[-1],
        layer.features,
        layer.kernel,
        layer.stride,
        padding=layer.padding,
        use_bias=layer.bias,
        **build.arguments,
    )
    pools = [f for f in followers if isinstance(f, spec.MaxPool)]
    module.site = ops.ConvSite(
        shape,
        layer.features,
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.bias,
        relu=len(pools) < len(followers),
        pool=_pool_site(pools[0], layer.output_shape(shape)) if pools else None,
        first=build.first,
    )
    module.lowering = build.lowering(module.site)
    return module


@module.register
def _(layer: spec.Conv, shape: Shape, build: Build) -> nnx.Module:
    return conv(layer, (), shape, build)


class _Dense(nnx.Linear):
    lowering: str

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        x, kernel, bias = self.promote_dtype(
            (x, self.kernel[...], _value(self.bias)), dtype=self.dtype
        )
        return ops.dense(x, kernel, bias, self.lowering)


def _value(parameter: Any) -> jax.Array | None:
    return None if parameter is None else parameter[...]


@module.register
def _(layer: spec.Dense, shape: Shape, build: Build) -> nnx.Module:
    module = _Dense(shape[-1], layer.units, use_bias=layer.bias, **build.arguments)
    module.lowering = build.lowering(
        ops.DenseSite(shape[-1], layer.units, layer.bias, first=build.first)
    )
    return module


class _BatchNorm(nnx.BatchNorm):
    """As Flax's, over all devices that have examples of the batch.

    Flax counts a masked batch's numbers one by one, which on a CPU took over a third of a training step.
    """

    mesh_axis: str | None = None

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        if not step.train:
            return super().__call__(x, use_running_average=True)
        given: Any = (x, _value(self.scale), _value(self.bias))
        x, scale, bias = self.promote_dtype(given, dtype=self.dtype)
        mean, var = self._statistics(x.astype(jnp.promote_types(x.dtype, jnp.float32)), step.mask)
        self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean
        self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * var
        y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
        return y.astype(x.dtype)

    def _statistics(self, x: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """(C,) means and variances of the real rows of `x`, (B, …, C)."""
        examples: Any = len(x)
        if mask is not None:
            examples = mask.sum().astype(x.dtype)
            x = jnp.where(mask.reshape(-1, *(1,) * (x.ndim - 1)), x, 0)
        axes = tuple(range(x.ndim - 1))
        sums = examples * math.prod(x.shape[1:-1]), x.sum(axes), (x * x).sum(axes)
        count, total, squares = jax.lax.psum(sums, self.mesh_axis) if self.mesh_axis else sums
        mean = total / count
        return mean, jnp.maximum(0, squares / count - mean**2)


@module.register
def _(layer: spec.BatchNorm, shape: Shape, build: Build) -> nnx.Module:
    norm = _BatchNorm(shape[-1], momentum=layer.momentum, epsilon=layer.epsilon, **build.arguments)
    # Flax keeps running statistics in float32, whatever the parameters are in.
    norm.mean = nnx.BatchStat(jnp.zeros(shape[-1], build.arguments["param_dtype"]))
    norm.var = nnx.BatchStat(jnp.ones(shape[-1], build.arguments["param_dtype"]))
    norm.mesh_axis = build.axis
    return norm


class _LayerNorm(nnx.LayerNorm):
    ranks: slice | None = None

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:  # type: ignore[override]
        if self.ranks is None or step.ranks is None:
            return super().__call__(x)
        real = jnp.broadcast_to(step.ranks[self.ranks] >= 0, x.shape)
        return super().__call__(x, mask=real)


@module.register
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
        index = first + row * channels + rank

        def kept() -> jax.Array:
            return (draws.uniform(step.key, step.stream, index) >= rate).astype(jnp.uint8)

        return jnp.where(ops.computed_once(kept, never=2), x / (1 - rate).astype(x.dtype), 0)


@module.register
def _(layer: spec.Dropout, shape: Shape, build: Build) -> nnx.Module:
    place, ranks = build.next_values(2), build.next_ranks(layer, shape)
    return _Dropout(place, ranks) if layer.rate else Function(lambda x: x)


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


@module.register
def _(layer: spec.Activation, shape: Shape, build: Build) -> nnx.Module:
    place = build.next_values() if len(layer.names) > 1 else None
    return _Activation(layer.names, place, build.next_ranks(layer, shape))


class Function(nnx.Module):
    """A layer without parameters."""

    def __init__(self, function: Callable[[jax.Array], jax.Array]):
        self.function = function

    def __call__(self, x: jax.Array, step: Step) -> jax.Array:
        return self.function(x)


@module.register
def _(layer: spec.MaxPool, shape: Shape, build: Build) -> nnx.Module:
    site = _pool_site(layer, shape)
    lowering = build.lowering(site)
    return Function(lambda x: ops.pooled(x, site, lowering))


def _pool_site(layer: spec.MaxPool, shape: Shape) -> ops.PoolSite:
    return ops.PoolSite(shape, layer.window, layer.stride, layer.padding)


@module.register
def _(layer: spec.AveragePool, shape: Shape, build: Build) -> nnx.Module:
    return Function(lambda x: ops.average_pool(x, layer.window, layer.stride, layer.padding))


@module.register
def _(layer: spec.Flatten, shape: Shape, build: Build) -> nnx.Module:
    return Function(lambda x: x.reshape(x.shape[0], -1))


@module.register
def _(layer: spec.GlobalPool, shape: Shape, build: Build) -> nnx.Module:
    if layer.kind == "max":
        return Function(lambda x: x.max((1, 2)))
    return Function(lambda x: x.mean((1, 2)))


@module.register
def _(layer: SigmoidOutput, shape: Shape, build: Build) -> nnx.Module:
    low, high = math.log(EPSILON), math.log1p(-EPSILON)

    def shares(x: jax.Array) -> jax.Array:
        """In logarithms, where no sum of sigmoids is 0."""
        x = x.astype(build.arguments["param_dtype"])
        return jnp.clip(jax.nn.log_softmax(jax.nn.log_sigmoid(x)), low, high)

    return Function(shares)
