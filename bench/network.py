"""The Flax NNX module that a tuple of layers describes.

In a program of several architectures it is the widest of them (`bench.padding`), and each lane tells it, as
data, which part is its own.

Letters: B examples, H×W pixels, C channels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from bench import layers as spec
from bench.layers import Layers, Shape
from bench.modules import Build, Function, Step, conv, module


class Network(nnx.Module):
    """(B, H, W, C) images → (B, classes) logits, or whatever the last layer gives."""

    def __init__(self, layers: Layers, image_shape: Shape, build: "Build"):
        self.layers = _sequence(layers, image_shape, build)

    def __call__(self, images: jax.Array, step: Step) -> jax.Array:
        for layer in self.layers:
            images = layer(images, step)
        return images


def _sequence(layers: Layers, shape: Shape, build: Build) -> nnx.List:
    modules: list[nnx.Module] = []
    while len(modules) < len(layers):
        here = layers[len(modules) :]
        # A convolution computes what it can of the layers behind it, and those pass its result on.
        taken = _followers(here) if isinstance(here[0], spec.Conv) else ()
        if taken:
            modules.append(conv(here[0], taken, shape, build))
            modules += [Function(lambda x: x) for _ in taken]
        else:
            modules.append(module(here[0], shape, build))
        shape = spec.output_shape(here[: 1 + len(taken)], shape)
    return nnx.List(modules)


def _followers(layers: Layers) -> Layers:
    """Of the layers behind the first, those that its lowering can do at once: a ReLU, a max pool, or both."""
    kinds = [_kind(layer) for layer in layers[1:3]]
    if sorted(filter(None, kinds)) == ["pool", "relu"]:
        return layers[1:3]
    return layers[1:2] if kinds and kinds[0] else ()


def _kind(layer: spec.Layer) -> str:
    if isinstance(layer, spec.MaxPool):
        return "pool"
    return "relu" if layer == spec.Activation("relu") else ""


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


@module.register
def _(layer: spec.Blocks, shape: Shape, build: Build) -> nnx.Module:
    place, blocks = build.next_values(), []
    for block in layer.blocks:
        blocks.append(_sequence(block, shape, build))
        shape = spec.output_shape(block, shape)
    return _Blocks(blocks, place if build.padded else None)


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


@module.register
def _(layer: spec.Branch, shape: Shape, build: Build) -> nnx.Module:
    paths = [_sequence(branch, shape, build) for branch in layer.branches]
    return _Parallel(paths, lambda outputs: jnp.concatenate(outputs, -1))


@module.register
def _(layer: spec.Residual, shape: Shape, build: Build) -> nnx.Module:
    paths = [_sequence(path, shape, build) for path in (layer.layers, layer.shortcut)]
    return _Parallel(paths, lambda outputs: outputs[0] + outputs[1])
