"""2-D pooling. Windows that tile the image are a reshape, which XLA fuses; others a `reduce_window`."""

import jax
import jax.numpy as jnp
from flax import nnx

from bench.ops.barrier import computed_once

Pair = tuple[int, int]
MOST_TAPS = 64  # of a window whose taps are compared one by one


def max_pool(
    images: jax.Array, window: Pair, stride: Pair, padding: str, tiled: bool = True
) -> jax.Array:
    """The largest value of each window; its gradient goes to the first of equal maxima, row by row.

    Args:
        images: (B, H, W, C).
        window: height and width of the window in pixels.
        stride: step between windows, down and to the right.
        padding: "SAME" or "VALID"; padded pixels are -∞.
        tiled: windows that tile the image are to be a reshape.

    Returns:
        (B, H', W', C), as `nnx.max_pool`, gradient included.
    """
    if tiled and _tiles(images.shape, window, stride, padding):
        return _tiled_max(images, window)
    return nnx.max_pool(images, window, stride, padding)


def average_pool(images: jax.Array, window: Pair, stride: Pair, padding: str) -> jax.Array:
    """The mean of each window's real pixels, padding not counted. Shapes as in `max_pool`."""
    if _tiles(images.shape, window, stride, padding):
        return _windows(images, window).mean((2, 4))
    mean = nnx.avg_pool(images, window, stride, padding, count_include_pad=False)
    return mean.astype(images.dtype)  # Flax divides by a count in JAX's default precision


def _tiles(shape: tuple[int, ...], window: Pair, stride: Pair, padding: str) -> bool:
    exact = shape[1] % window[0] == 0 and shape[2] % window[1] == 0
    few = window[0] * window[1] <= MOST_TAPS
    return few and window == stride and (padding == "VALID" or exact)


def _windows(images: jax.Array, window: Pair) -> jax.Array:
    """(B, H, W, C) → (B, H', h, W', w, C); pixels beyond the last whole window are dropped."""
    (b, height, width, c), (h, w) = images.shape, window
    rows, columns = height // h, width // w
    return images[:, : rows * h, : columns * w].reshape(b, rows, h, columns, w, c)


@jax.custom_vjp
def _max_of_windows(windows: jax.Array) -> jax.Array:
    return windows.max((2, 4))


def _forward(windows: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    # Where the first maximum is, is found here and kept. To compare with the maximum in the backward pass
    # would be shorter and wrong: XLA may compute a window's numbers anew there, rounded otherwise (tanh and
    # batch norm were), and then no tap equals the maximum and the gradient is lost.
    place = computed_once(lambda: _place(windows), never=MOST_TAPS)
    return windows.max((2, 4)), (place, jnp.zeros((windows.shape[2], windows.shape[4], 0)))


def _place(windows: jax.Array) -> jax.Array:
    """(B, H', W', C) uint8: which tap is the largest, the first of equals."""
    taps = _taps(windows)
    largest, place = taps[0], jnp.zeros(taps[0].shape, jnp.uint8)
    for number, tap in enumerate(taps[1:], 1):
        place = jnp.where(tap > largest, jnp.uint8(number), place)
        largest = jnp.maximum(largest, tap)
    return place


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    # A stack of one `where` a tap is the same, but XLA:CPU of JAX 0.10.2 compiles that wrongly behind tanh.
    place, (h, w, _) = saved[0], saved[1].shape
    taps = jnp.arange(h * w, dtype=place.dtype).reshape(1, 1, h, 1, w, 1)
    paid = place[:, :, None, :, None] == taps
    return (jnp.where(paid, gradient[:, :, None, :, None], 0),)


def _taps(windows: jax.Array) -> list[jax.Array]:
    """The pixels of the windows, row by row, each (B, H', W', C)."""
    h, w = windows.shape[2], windows.shape[4]
    return [windows[:, :, i, :, j] for i in range(h) for j in range(w)]


_max_of_windows.defvjp(_forward, _backward)


def _tiled_max(images: jax.Array, window: Pair) -> jax.Array:
    return _max_of_windows(_windows(images, window))
