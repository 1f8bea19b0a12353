"""2-D pooling. Windows that tile the image are a reshape, which XLA fuses; others a `reduce_window`."""

import jax
import jax.numpy as jnp
from flax import nnx

Pair = tuple[int, int]


def max_pool(images: jax.Array, window: Pair, stride: Pair, padding: str) -> jax.Array:
    """The largest value of each window; its gradient goes to the first of equal maxima, row by row.

    Args:
        images: (B, H, W, C).
        window: height and width of the window in pixels.
        stride: step between windows, down and to the right.
        padding: "SAME" or "VALID"; padded pixels are -∞.

    Returns:
        (B, H', W', C), as `nnx.max_pool`, gradient included.
    """
    if _tiles(images.shape, window, stride, padding):
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
    return window == stride and (padding == "VALID" or exact)


def _windows(images: jax.Array, window: Pair) -> jax.Array:
    """(B, H, W, C) → (B, H', h, W', w, C); pixels beyond the last whole window are dropped."""
    (b, height, width, c), (h, w) = images.shape, window
    rows, columns = height // h, width // w
    return images[:, : rows * h, : columns * w].reshape(b, rows, h, columns, w, c)


@jax.custom_vjp
def _max_of_windows(windows: jax.Array) -> jax.Array:
    return windows.max((2, 4))


def _forward(windows: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    largest = _max_of_windows(windows)
    return largest, (windows, largest)


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    # Images have flat regions, so equal maxima are the rule: only the first is paid. A comparison per
    # tap costs a fraction of what an argmax and its scatter cost on every backend.
    windows, largest = saved
    taken = jnp.zeros(largest.shape, bool)
    rows = []
    for i in range(windows.shape[2]):
        row = []
        for j in range(windows.shape[4]):
            first = (windows[:, :, i, :, j] == largest) & ~taken
            taken |= first
            row.append(jnp.where(first, gradient, 0))
        rows.append(jnp.stack(row, 3))
    return (jnp.stack(rows, 2),)


_max_of_windows.defvjp(_forward, _backward)


def _tiled_max(images: jax.Array, window: Pair) -> jax.Array:
    return _max_of_windows(_windows(images, window))
