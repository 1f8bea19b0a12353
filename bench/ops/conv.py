"""2-D convolution, its two gradients, and the lowerings of each.

XLA:CPU takes a convolution's kernel gradient 12 times longer inside a loop than outside, and a convolution
whose kernel differs by lane becomes a grouped one, which is slow everywhere. As matrix products both are
fast. So the forward pass and each gradient have several forms, chosen by time (`bench.tune`).

Letters: B examples, H×W pixels, I channels in, O channels out, h×w taps; H'×W' pixels of the output.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# A kernel of more taps than this would copy its input too often.
MOST_TAPS = 49


class How(NamedTuple):
    """What a convolution is told beside its arrays.

    Attributes:
        stride: down and to the right.
        padding: low and high, of rows and of columns.
        lowerings: names of the forward pass, the kernel's gradient and the input's.
    """

    stride: Pair
    padding: tuple[Pair, Pair]
    lowerings: tuple[str, str, str]


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    stride: Pair,
    padding: str | tuple[Pair, Pair],
    lowering: str = "im2col/im2col/im2col",
) -> jax.Array:
    """Cross-correlates images with a kernel, as `lax.conv_general_dilated` does.

    Args:
        images: (B, H, W, I).
        kernel: (h, w, I, O).
        stride: down and to the right.
        padding: "SAME", "VALID", or low and high padding of rows and columns.
        lowering: names from `FORWARD`, `KERNEL_GRADIENT` and `INPUT_GRADIENT`, by slashes.

    Returns:
        (B, H', W', O).
    """
    told = described(images.shape[1:], kernel.shape[:2], stride, padding, lowering)
    if told.lowerings == ("direct",) * 3:
        return _direct(images, kernel, told)
    return _convolve(images, kernel, told)


def lowerings(kernel: Pair) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names that serve a kernel of h×w taps, for forward, kernel's gradient and input's gradient."""
    few = kernel[0] * kernel[1] <= MOST_TAPS
    tables = (FORWARD, KERNEL_GRADIENT, INPUT_GRADIENT)
    found = [tuple(n for n in table if few or n in ("direct", "transposed")) for table in tables]
    return found[0], found[1], found[2]


def described(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: Pair,
    padding: str | tuple[Pair, Pair],
    lowering: str = "direct/direct/direct",
) -> How:
    """What a convolution of (H, W, I) images with a kernel of h×w taps is told."""
    forward, of_kernel, of_input = lowering.split("/")
    pads: Any = padding
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(image[:2], kernel, stride, padding)
    (top, bottom), (left, right) = pads
    return How(stride, ((top, bottom), (left, right)), (forward, of_kernel, of_input))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(images: jax.Array, kernel: jax.Array, how: How) -> jax.Array:
    return FORWARD[how.lowerings[0]](images, kernel, how)


def _forward(images: jax.Array, kernel: jax.Array, how: How) -> tuple:
    return _convolve(images, kernel, how), (images, kernel)


def _backward(how: How, saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    _, of_kernel, of_input = how.lowerings
    return (
        INPUT_GRADIENT[of_input](gradient, kernel, images.shape, how),
        KERNEL_GRADIENT[of_kernel](images, gradient, kernel.shape, how),
    )


_convolve.defvjp(_forward, _backward)


def _direct(images: jax.Array, kernel: jax.Array, how: How) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, how.stride, how.padding, dimension_numbers=_DIMENSIONS
    )


def _taps(images: jax.Array, kernel: Any, how: How) -> list[jax.Array]:
    """For each tap, (B, H', W', I): the pixel that it sees from every output pixel."""
    images = jnp.pad(images, ((0, 0), *how.padding, (0, 0)))
    (h, w), (down, right) = kernel[:2], how.stride
    rows = (images.shape[1] - h) // down + 1
    columns = (images.shape[2] - w) // right + 1
    return [
        images[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * right + 1 : right]
        for i in range(h)
        for j in range(w)
    ]


def _patches(images: jax.Array, kernel: Any, how: How) -> jax.Array:
    """(B, H', W', h·w·I)."""
    return jnp.concatenate(_taps(images, kernel, how), -1)


def _rows(kernel: jax.Array) -> jax.Array:
    """(h·w·I, O)."""
    return kernel.reshape(-1, kernel.shape[-1])


def _im2col(images: jax.Array, kernel: jax.Array, how: How) -> jax.Array:
    return jnp.einsum("bhwk,ko->bhwo", _patches(images, kernel.shape, how), _rows(kernel))


def _tap_by_tap(images: jax.Array, kernel: jax.Array, how: How) -> jax.Array:
    factors = kernel.reshape(-1, *kernel.shape[2:])
    taps = _taps(images, kernel.shape, how)
    products = (jnp.einsum("bhwi,io->bhwo", t, f) for t, f in zip(taps, factors, strict=True))
    return functools.reduce(jnp.add, products)


def _kernel_direct(images: jax.Array, gradient: jax.Array, shape: Any, how: How) -> jax.Array:
    kernel = jax.ShapeDtypeStruct(shape, images.dtype)
    return jax.linear_transpose(lambda k: _direct(images, k, how), kernel)(gradient)[0]


def _kernel_transposed(images: jax.Array, gradient: jax.Array, shape: Any, how: How) -> jax.Array:
    """A plain convolution in which the batch is what is summed over, and the gradient is the kernel."""
    found = lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        how.padding,
        rhs_dilation=how.stride,
        dimension_numbers=_DIMENSIONS,
    )
    return found[:, : shape[0], : shape[1]].transpose(1, 2, 0, 3)


def _kernel_im2col(images: jax.Array, gradient: jax.Array, shape: Any, how: How) -> jax.Array:
    patches = _patches(images, shape, how)
    return jnp.einsum("bhwk,bhwo->ko", patches, gradient).reshape(shape)


def _kernel_tap_by_tap(images: jax.Array, gradient: jax.Array, shape: Any, how: How) -> jax.Array:
    taps = _taps(images, shape, how)
    found = [jnp.einsum("bhwi,bhwo->io", tap, gradient) for tap in taps]
    return jnp.stack(found).reshape(shape)


def _input_direct(gradient: jax.Array, kernel: jax.Array, shape: Any, how: How) -> jax.Array:
    images = jax.ShapeDtypeStruct(shape, gradient.dtype)
    return jax.linear_transpose(lambda x: _direct(x, kernel, how), images)(gradient)[0]


def _input_im2col(gradient: jax.Array, kernel: jax.Array, shape: Any, how: How) -> jax.Array:
    """The gradients of the patches, each tap's laid where it was taken from."""
    patches = jnp.einsum("bhwo,ko->bhwk", gradient, _rows(kernel))
    images = jax.ShapeDtypeStruct(shape, gradient.dtype)
    return jax.linear_transpose(lambda x: _patches(x, kernel.shape, how), images)(patches)[0]


def _input_turned(gradient: jax.Array, kernel: jax.Array, shape: Any, how: How) -> jax.Array:
    """The gradient, spread out by the stride, correlated with the kernel turned about."""
    edges = []
    for side in (0, 1):
        taps, stride, low = kernel.shape[side], how.stride[side], how.padding[side][0]
        reach = (gradient.shape[side + 1] - 1) * stride + 1
        before = taps - 1 - low
        edges.append((before, shape[side + 1] + taps - 1 - reach - before, stride - 1))
    spread = lax.pad(gradient, jnp.zeros((), gradient.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return _im2col(spread, turned, How((1, 1), ((0, 0), (0, 0)), how.lowerings))


FORWARD: dict[str, Callable] = {"direct": _direct, "im2col": _im2col, "taps": _tap_by_tap}
KERNEL_GRADIENT: dict[str, Callable] = {
    "direct": _kernel_direct,
    "im2col": _kernel_im2col,
    "taps": _kernel_tap_by_tap,
    "transposed": _kernel_transposed,
}
INPUT_GRADIENT: dict[str, Callable] = {
    "direct": _input_direct,
    "im2col": _input_im2col,
    "turned": _input_turned,
}
