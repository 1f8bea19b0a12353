"""Our lowerings against `lax` and `flax.nnx`: values and every gradient, in float64, on real pixels.

Pixels, kernels and biases are small whole numbers here, so products and sums are exact in float64 and
flat regions tie in every lowering alike: a gradient that goes to another pixel cannot pass for rounding.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from sklearn.datasets import load_digits

from bench.mesh import compiler_options
from bench.ops import average_pool, convolve, max_pool
from bench.ops.conv import MOST_TAPS

DIGITS = load_digits().images.astype(np.uint8)
RNG = np.random.default_rng(0)
AGREE = 1e-12
# Compiled five times faster: what runs once need not run fast.
OPTIONS = {"xla_backend_optimization_level": 0, **(compiler_options("cpu") or {})}
quick = functools.partial(jax.jit, compiler_options=OPTIONS)
few = settings(max_examples=20, deadline=None, derandomize=True, database=None)
padding = st.sampled_from(["SAME", "VALID"])


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def pictures(batch: int, height: int, width: int, channels: int) -> np.ndarray:
    """(B, H, W, C) cut from walls of 5×5 digits, every channel of other digits."""
    walls = DIGITS[: 25 * batch * channels].reshape(batch, channels, 5, 5, 8, 8)
    walls = walls.transpose(0, 2, 4, 3, 5, 1).reshape(batch, 40, 40, channels)
    return walls[:, :height, :width].astype(float)


def whole(*shape: int) -> np.ndarray:
    return RNG.integers(-4, 5, shape).astype(float)


def stock(images: jax.Array, kernel: jax.Array, strides: Any, padding: Any) -> jax.Array:
    described = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    return lax.conv_general_dilated(images, kernel, strides, padding, **described)


def stock_average(images: jax.Array, window: Any, stride: Any, padding: str) -> jax.Array:
    return nnx.avg_pool(images, window, stride, padding, count_include_pad=False)


def assert_agree(ours: Callable, theirs: Callable, *arguments: np.ndarray) -> None:
    """Both functions have the same value and the same gradient with respect to every argument."""
    cotangent = whole(*jax.eval_shape(theirs, *arguments).shape)

    def with_gradients(function: Callable) -> tuple:
        value, pull = jax.vjp(function, *arguments)
        return value, *pull(cotangent)

    got, wanted = quick(lambda: (with_gradients(ours), with_gradients(theirs)))()
    for mine, other in zip(got, wanted, strict=True):
        assert mine.dtype == other.dtype == np.float64
        scale = np.abs(other).max(initial=0)
        np.testing.assert_allclose(mine, other, rtol=AGREE, atol=AGREE * scale)


@st.composite
def windows(draw: Any, largest: int) -> tuple:
    """Image shape, window, stride, padding; the window fits."""
    sides = st.integers(1, largest)
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 11), st.integers(1, 11), sides))
    window, stride = draw(st.tuples(sides, sides)), draw(st.tuples(sides, sides))
    if draw(st.booleans()):
        stride = window
    how = draw(padding)
    assume(how == "SAME" or (window[0] <= shape[1] and window[1] <= shape[2]))
    return shape, window, stride, how


@few
@given(windows(3), st.integers(1, 3))
def test_convolve_is_the_stock_convolution(drawn: tuple, features: int) -> None:
    shape, kernel, strides, how = drawn
    assert_agree(
        lambda x, k: convolve(x, k, strides, how),
        lambda x, k: stock(x, k, strides, how),
        pictures(*shape),
        whole(*kernel, shape[-1], features),
    )


@pytest.mark.parametrize("how", ["SAME", "VALID", ((2, 0), (1, 3))])
@pytest.mark.parametrize("kernel", [(7, 7), (8, 7)], ids=["most taps", "too many taps"])
def test_convolve_of_large_kernels(kernel: tuple[int, int], how: Any) -> None:
    assert (np.prod(kernel) > MOST_TAPS) == (kernel == (8, 7))
    assert_agree(
        lambda x, k: convolve(x, k, (2, 1), how),
        lambda x, k: stock(x, k, (2, 1), how),
        pictures(2, 13, 10, 2),
        whole(*kernel, 2, 3),
    )


@few
@given(windows(4))
def test_max_pool_is_the_stock_one(drawn: tuple) -> None:
    shape, *how = drawn
    images = pictures(*shape) + whole(shape[-1])
    assert_agree(lambda x: max_pool(x, *how), lambda x: nnx.max_pool(x, *how), images)


@few
@given(windows(4))
def test_average_pool_is_the_stock_one(drawn: tuple) -> None:
    shape, *how = drawn
    images = pictures(*shape) + whole(shape[-1])
    assert_agree(lambda x: average_pool(x, *how), lambda x: stock_average(x, *how), images)


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((9, 9), ((2, 2), (2, 2), "VALID")),  # tiles, a row and a column left over
        ((8, 6), ((2, 3), (2, 3), "SAME")),  # tiles
        ((9, 8), ((2, 2), (2, 2), "SAME")),  # padded
        ((9, 8), ((3, 3), (2, 2), "VALID")),  # windows overlap
    ],
    ids=["rest", "tiles", "padded", "overlap"],
)
def test_a_block_on_flat_regions(shape: tuple[int, int], how: tuple) -> None:
    """Two rounds of conv, bias, ReLU, pool: ties all over, and the biases' gradients depend on them."""

    def block(conv: Callable, largest: Callable, mean: Callable) -> Callable:
        def forward(x: Any, k1: Any, b1: Any, k2: Any, b2: Any) -> jax.Array:
            x = largest(jax.nn.relu(conv(x, k1, (1, 1), "SAME") + b1), *how)
            return mean(jax.nn.relu(conv(x, k2, (1, 1), "SAME") + b2), *how)

        return forward

    images, kernels = pictures(4, *shape, 1), (whole(3, 3, 1, 4), whole(3, 3, 4, 3))
    biases = np.array([5.0, -3, 1, 7]), np.array([-40.0, 60, 9])
    flat = nnx.max_pool(images, (2, 2), (2, 2)) == -nnx.max_pool(-images, (2, 2), (2, 2))
    assert flat.mean() > 0.05  # or the test would not test what it says
    assert_agree(
        block(convolve, max_pool, average_pool),
        block(stock, nnx.max_pool, stock_average),
        *(images, kernels[0], biases[0], kernels[1], biases[1]),
    )


@pytest.mark.parametrize("how", [((2, 2), (2, 2), "VALID"), ((3, 3), (2, 2), "SAME")])
def test_lanes_of_kernels_inside_a_loop(how: tuple) -> None:
    """As the product runs it: `vmap` over kernels and biases, `scan` over updates, gradients within."""

    def lanes(conv: Callable, largest: Callable) -> Callable:
        def loss(params: tuple, images: jax.Array) -> jax.Array:
            kernel, bias = params
            seen = largest(jax.nn.relu(conv(images, kernel, (1, 1), "SAME") + bias), *how)
            return jnp.sin(seen / 64).mean()

        def lane(kernel: jax.Array, bias: jax.Array, batches: jax.Array) -> jax.Array:
            def update(params: tuple, images: jax.Array) -> tuple:
                gradients = jax.grad(loss)(params, images)
                return jax.tree.map(lambda p, g: p - g, params, gradients), None

            kernel, bias = lax.scan(update, (kernel, bias), batches)[0]
            return jnp.concatenate([kernel.reshape(-1), bias])

        return quick(jax.vmap(lane, (0, 0, None)))

    batches = pictures(6, 9, 8, 2).reshape(3, 2, 9, 8, 2)
    arguments = whole(3, 3, 3, 2, 4), whole(3, 4) + 0.5, batches
    got, wanted = (
        lanes(*each)(*arguments) for each in ((convolve, max_pool), (stock, nnx.max_pool))
    )
    assert np.abs(wanted - np.concatenate([arguments[0].reshape(3, -1), arguments[1]], 1)).max() > 0
    np.testing.assert_allclose(got, wanted, rtol=AGREE, atol=AGREE)


@pytest.mark.parametrize(
    ("activation", "norm"),
    [(jax.nn.relu, True), (jnp.tanh, False)],
    ids=["batch norm", "tanh"],
)
def test_the_gradient_survives_the_compiler(activation: Callable, norm: bool) -> None:
    """On numbers that are not whole, where a maximum is one tap's and the loss of one shows.

    XLA computes what it fuses anew in the backward pass, and rounds it otherwise: a gradient for the
    taps that equal the saved maximum was lost behind batch norm. And XLA:CPU of JAX 0.10.2 compiles a
    stack of one `where` a tap wrongly behind conv, bias and tanh: off by 100 %, where eager is right.
    """
    rng = np.random.default_rng(0)
    shapes = (8, 12, 12, 3), (3, 3, 3, 16), (16,)
    arguments = [jnp.asarray(rng.normal(size=shape)) for shape in shapes]

    def loss(largest: Callable, images: Any, kernel: Any, bias: Any) -> jax.Array:
        seen = convolve(images, kernel, (1, 1), "SAME") + bias
        if norm:
            mean = seen.mean((0, 1, 2))
            seen = (seen - mean) * lax.rsqrt((seen**2).mean((0, 1, 2)) - mean**2)
        pooled = largest(activation(seen), (2, 2), (2, 2), "VALID")
        return (pooled * jnp.sin(1 + jnp.arange(float(pooled.size))).reshape(pooled.shape)).sum()

    def gradients(largest: Callable, options: dict[str, Any]) -> tuple:
        function = jax.grad(functools.partial(loss, largest), (0, 1, 2))
        return jax.jit(function, compiler_options=options)(*arguments)

    wanted = gradients(nnx.max_pool, OPTIONS)
    for options in ({}, OPTIONS):
        for mine, other in zip(gradients(max_pool, options), wanted, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("window", "gradient"),
    [
        ([[1, 1], [1, 1]], [[1, 0], [0, 0]]),  # row by row, the first of the largest
        ([[0, 3], [3, 3]], [[0, 1], [0, 0]]),
        ([[0, 1], [2, 2]], [[0, 0], [1, 0]]),
        ([[-5, -2], [-3, -1]], [[0, 0], [0, 1]]),
    ],
)
def test_the_first_of_equal_maxima_is_paid(window: list, gradient: list) -> None:
    def total(pixels: jax.Array) -> jax.Array:
        return max_pool(pixels[None, :, :, None], (2, 2), (2, 2), "VALID").sum()

    got = jax.grad(total)(jnp.array(window, float))
    np.testing.assert_array_equal(got, gradient)


def test_average_pool_does_not_count_padding() -> None:
    """By hand: the last row and column have windows of 2, 2 and 1 real pixels."""
    images = jnp.arange(9.0).reshape(1, 3, 3, 1)
    got = average_pool(images, (2, 2), (2, 2), "SAME")[0, :, :, 0]
    np.testing.assert_array_equal(got, [[2, 3.5], [6.5, 8]])
