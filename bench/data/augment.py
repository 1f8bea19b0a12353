"""Random flips, shifts and crops of a batch, on the device, as one resampling."""

import jax
import jax.numpy as jnp

DRAWS = 6  # random numbers an image


def augment(
    drawn: jax.Array, images: jax.Array, flip: jax.Array, shift: jax.Array, crop: jax.Array
) -> jax.Array:
    """Each image mirrored with probability ½, moved, and cut out, independently of the others.

    The three are one affine map of each axis, applied by bilinear interpolation, so their strengths may
    be traced and neutral ones (0, 0, 0) return the images exactly.

    Args:
        drawn: (DRAWS, B) uniform in [0, 1).
        images: (B, H, W, C), floating point.
        flip: () 0 or 1: mirror left and right.
        shift: () pixels: move by a whole number up to this many in both axes; black comes in.
        crop: () in [0, 1): take a window of 1 - crop to 1 of each side (one factor for both), enlarged.

    Returns:
        (B, H, W, C).
    """
    _, height, width, _ = images.shape
    mirrored, zoom, *places = drawn.astype(images.dtype)
    side = 1 - crop * zoom
    rows = _weights(height, side, places[0], places[2], shift)
    columns = _weights(width, side, places[1], places[3], shift)
    mirrored = (mirrored < 0.5 * flip)[:, None, None]
    columns = jnp.where(mirrored, columns[:, ::-1], columns)
    return jnp.einsum("biy,byxc,bjx->bijc", rows, images, columns)


def _weights(
    size: int, side: jax.Array, start: jax.Array, moved: jax.Array, shift: jax.Array
) -> jax.Array:
    """(B, size, size): what each input pixel of an axis adds to each output pixel."""
    pixels = jnp.arange(size, dtype=side.dtype)
    offset = start * (1 - side) * size
    source = offset[:, None] + side[:, None] * (pixels + 0.5) - 0.5
    source = jnp.clip(source, 0, size - 1)  # a window's rim takes the pixel nearest to it
    source = source - jnp.floor(moved * (2 * shift + 1) - shift)[:, None]
    return jnp.maximum(0, 1 - jnp.abs(source[:, :, None] - pixels))
