"""A site's work as functions to be timed: the whole of it, and each direction by itself.

Letters: B examples; the arrays of a site are those of `bench.ops.block`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from bench.ops import block, conv
from bench.ops.lowerings import pools
from bench.ops.sites import ConvSite, DenseSite, PoolSite, Site

Work = Callable[..., Any]


def operands(site: Site, batch: int, dtype: Any) -> tuple[np.ndarray, ...]:
    """A site's input, its weights, and a gradient of its output; pictures of nothing."""
    draw = np.random.Generator(np.random.PCG64(0))
    arrays = [draw.standard_normal(shape).astype(dtype) for shape in _shapes(site, batch)]
    out = jax.eval_shape(whole(site, _any(site)), *arrays, None)
    return *arrays, draw.standard_normal(out.shape).astype(dtype)


def _shapes(site: Site, batch: int) -> list[tuple[int, ...]]:
    if isinstance(site, DenseSite):
        return [(batch, site.inputs), (site.inputs, site.units), (site.units,)]
    if isinstance(site, PoolSite):
        return [(batch, *site.image)]
    kernel = (*site.kernel, site.image[-1], site.features)
    return [(batch, *site.image), kernel, (site.features,)]


def numbers(site: Site, batch: int) -> int:
    """How many numbers timing a site may take in memory, roughly: arrays, gradients, an unfolded input."""
    inputs, *weights = map(math.prod, _shapes(site, batch))
    taps = math.prod(site.kernel) if isinstance(site, ConvSite) else 1
    return 4 * sum(weights) + (4 + 2 * taps) * inputs


def whole(site: Site, lowering: str) -> Work:
    """Input, weights, gradient of the output → output and gradients; without one, the output."""

    def forward(images: jax.Array, *weights: jax.Array) -> jax.Array:
        if isinstance(site, PoolSite):
            return block.pooled(images, site, lowering)
        kernel, bias = weights[0], weights[1] if site.bias else None
        if isinstance(site, DenseSite):
            return block.dense(images, kernel, bias, lowering)
        return block.conv_block(images, kernel, bias, site, lowering)

    def work(*arrays: Any) -> Any:
        *given, gradient = arrays
        if gradient is None:
            return forward(*given)
        output, pull = jax.vjp(forward, *given)
        gradients = pull(gradient)
        return output, gradients[1:] if getattr(site, "first", False) else gradients

    return work


def _any(site: Site) -> str:
    if isinstance(site, ConvSite):
        return "direct/direct/direct/window"
    return "window" if isinstance(site, PoolSite) else "dot"


def directions(site: ConvSite) -> Mapping[str, Mapping[str, Work]]:
    """Each part of a convolution's lowering → what may compute it, on (input, kernel, gradient) arrays.

    The gradient is that of the convolution's own output, before bias, ReLU and pool.
    """
    how = conv.described(site.image, site.kernel, site.stride, site.padding)
    of_forward, of_kernel, of_input = conv.lowerings(site.kernel)
    parts: dict[str, dict[str, Work]] = {
        "forward": {n: _forward(n, how) for n in of_forward},
        "kernel gradient": {n: _kernel_gradient(n, how) for n in of_kernel},
    }
    if not site.first:
        parts["input gradient"] = {n: _input_gradient(n, how) for n in of_input}
    return parts


def _forward(name: str, how: conv.How) -> Work:
    return lambda images, kernel, _: conv.FORWARD[name](images, kernel, how)


def _kernel_gradient(name: str, how: conv.How) -> Work:
    return lambda images, kernel, gradient: conv.KERNEL_GRADIENT[name](
        images, gradient, kernel.shape, how
    )


def _input_gradient(name: str, how: conv.How) -> Work:
    return lambda images, kernel, gradient: conv.INPUT_GRADIENT[name](
        gradient, kernel, images.shape, how
    )


def candidates(site: Site) -> tuple[str, ...]:
    """What may compute a pool or a dense layer."""
    return pools(site) if isinstance(site, PoolSite) else ("dot", "native")


def flops(site: Site, batch: int) -> int:
    """Of the site's training work, roughly: for how long to time it, and what to tune first."""
    if isinstance(site, PoolSite):
        return 8 * batch * int(np.prod(site.image))
    if isinstance(site, DenseSite):
        return 6 * batch * site.inputs * site.units
    taps = site.kernel[0] * site.kernel[1] * site.image[-1] * site.features
    pixels = site.image[0] * site.image[1] / (site.stride[0] * site.stride[1])
    return int((4 if site.first else 6) * batch * taps * pixels)
