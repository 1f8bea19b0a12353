"""2-D convolution as one matrix product over the kernel's taps (im2col)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# XLA:CPU takes a convolution's weight gradient 12 times longer inside a loop than outside, and a
# convolution whose kernel differs by lane becomes a grouped one, which is slow everywhere. As a matrix
# product both are fast. A kernel of more taps than this would copy its input too often.
MOST_TAPS = 49


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **described: Any,
) -> jax.Array:
    """Cross-correlates images with a kernel; takes the place of `lax.conv_general_dilated` in `nnx.Conv`.

    Args:
        images: (B, H, W, I): B examples of H×W pixels and I channels.
        kernel: (h, w, I, O): h×w taps, O features.
        strides: vertical and horizontal.
        padding: "SAME", "VALID", or low and high padding of each axis.
        **described: the rest of `lax.conv_general_dilated`'s arguments; neither dilation nor groups.

    Returns:
        (B, H', W', O).
    """
    height, width, channels, features = kernel.shape
    if height * width > MOST_TAPS:
        return lax.conv_general_dilated(images, kernel, strides, padding, **described)
    taps = patches(images, (height, width), strides, padding)
    return jnp.einsum("bhwk,ko->bhwo", taps, kernel.reshape(height * width * channels, features))


def patches(
    images: jax.Array,
    window: tuple[int, int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
) -> jax.Array:
    """(B, H, W, I) → (B, H', W', h·w·I): under every output pixel, the h×w input pixels it sees."""
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], window, strides, padding)
    images = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    (h, w), (down, right) = window, strides
    rows = (images.shape[1] - h) // down + 1
    columns = (images.shape[2] - w) // right + 1
    taps = [
        images[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * right + 1 : right]
        for i in range(h)
        for j in range(w)
    ]
    return jnp.concatenate(taps, -1)
