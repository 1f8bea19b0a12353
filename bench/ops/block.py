"""A convolution with its bias, ReLU and pool, a dense layer, and a pool alone, each by the lowering named.

Letters: B examples, H×W pixels, I channels in, O channels out, h×w taps; H'×W' pixels of the result.
"""

from collections.abc import Callable

import jax

from bench.ops import native
from bench.ops.conv import convolve
from bench.ops.pool import MOST_TAPS, max_pool
from bench.ops.sites import ConvSite, PoolSite


def _by_tiles(site: PoolSite) -> bool:
    return site.tiles and site.window[0] * site.window[1] <= MOST_TAPS


# Each lowering of a pool, and what it serves.
POOLS: dict[str, Callable[[PoolSite], bool]] = {"tiles": _by_tiles, "window": lambda _: True}


def conv_block(
    images: jax.Array, kernel: jax.Array, bias: jax.Array | None, site: ConvSite, lowering: str
) -> jax.Array:
    """Convolution, and of bias, ReLU and max pool what the site has; as `flax.nnx` computes it.

    Args:
        images: (B, H, W, I).
        kernel: (h, w, I, O).
        bias: (O,), or None.
        site: what is done.
        lowering: how, see `bench.ops.lowerings`.

    Returns:
        (B, H', W', O).
    """
    if lowering == "native":
        return native.block(images, kernel, bias, site)
    conv, _, pool = lowering.rpartition("/")
    images = convolve(images, kernel, site.stride, site.padding, conv)
    if bias is not None:
        images = images + bias
    if site.pool:
        images = pooled(images, site.pool, pool)
    # Of fewer numbers behind the pool, and the same: it commutes with what only grows.
    return jax.nn.relu(images) if site.relu else images


def pooled(images: jax.Array, site: PoolSite, lowering: str) -> jax.Array:
    """A max pool, (B, H, W, I) → (B, H', W', I)."""
    return max_pool(images, site.window, site.stride, site.padding, tiled=lowering == "tiles")


def dense(
    rows: jax.Array, kernel: jax.Array, bias: jax.Array | None, lowering: str = "dot"
) -> jax.Array:
    """(B, I) × (I, O) → (B, O), with the bias (O,) added."""
    if lowering == "native":
        return native.dense(rows, kernel, bias)
    product = rows @ kernel
    return product if bias is None else product + bias
