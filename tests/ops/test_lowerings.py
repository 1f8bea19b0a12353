"""Every lowering of a convolution, bias, ReLU and pool against `flax.nnx`, in float64, on real pixels.

Pixels, kernels and biases are small whole numbers, so that every sum is exact and ties are ties: a gradient
paid to another of equal maxima cannot pass for rounding.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import assume, given
from hypothesis import strategies as st
from jax import lax

from bench.errors import ConfigError
from bench.ops import ConvSite, DenseSite, PoolSite, conv_block, dense, lowerings, native
from bench.ops.conv import FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT
from tests.ops.test_ops import AGREE, assert_agree, few, pictures, whole

NAMES = ["/".join(parts) for parts in itertools.product(FORWARD, KERNEL_GRADIENT, INPUT_GRADIENT)]
PADDING = st.sampled_from(["SAME", "VALID"])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.fixture(autouse=True)
def compiled(native: bool) -> None:
    if not native:
        pytest.skip("no C++ compiler here")


@st.composite
def sites(draw: Any) -> ConvSite:
    image = (*draw(st.tuples(st.integers(1, 9), st.integers(1, 9))), draw(st.integers(1, 3)))
    kernel, stride, padding = draw(PAIRS), draw(PAIRS), draw(PADDING)
    shape = slid(image, kernel, stride, padding)
    # Features beside a vector's width, and more than a panel of two.
    features, pool = draw(st.sampled_from([1, 3, 8, 9, 16, 21])), None
    if draw(st.booleans()):
        pool = PoolSite((*shape, features), draw(PAIRS), draw(PAIRS), draw(PADDING))
        slid(pool.image, pool.window, pool.stride, pool.padding)
    bias, relu = draw(st.booleans()), draw(st.booleans())
    return ConvSite(image, features, kernel, stride, padding, bias, relu, pool)


def slid(image: Any, window: Any, stride: Any, padding: str) -> tuple[int, int]:
    assume(padding == "SAME" or (window[0] <= image[0] and window[1] <= image[1]))
    pads = lax.padtype_to_pads(image[:2], window, stride, padding)
    sides = zip(image[:2], window, stride, pads, strict=True)
    height, width = ((size + sum(pad) - w) // s + 1 for size, w, s, pad in sides)
    return height, width


def reference(site: ConvSite) -> Any:
    """Flax's own layers."""

    def run(images: Any, kernel: Any, bias: Any = None) -> jax.Array:
        described = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        found = lax.conv_general_dilated(images, kernel, site.stride, site.padding, **described)
        found = found if bias is None else found + bias
        found = jax.nn.relu(found) if site.relu else found
        if site.pool is None:
            return found
        return nnx.max_pool(found, site.pool.window, site.pool.stride, site.pool.padding)

    return run


def arrays(site: ConvSite, batch: int = 2) -> list[np.ndarray]:
    kernel = whole(*site.kernel, site.image[-1], site.features)
    bias = [whole(site.features) * 7] if site.bias else []
    return [pictures(batch, *site.image), kernel, *bias]


def by(site: ConvSite, lowering: str) -> Any:
    return lambda x, k, b=None: conv_block(x, k, b, site, lowering)


@few
@given(sites(), st.sampled_from([1, 2, 7]))
def test_native_is_the_stock_block(site: ConvSite, batch: int) -> None:
    """Batches of one group of images, of several, and with a smaller one at the end."""
    assert_agree(by(site, "native"), reference(site), *arrays(site, batch))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_native_groups_of_images(batch: int) -> None:
    """49 pixels an image make groups of two; the pool leaves a row and a column out, and panels are two."""
    pool = PoolSite((7, 7, 17), (2, 2), (2, 2), "VALID")
    site = ConvSite((9, 9, 2), 17, (3, 3), (1, 1), "VALID", True, True, pool)
    assert_agree(by(site, "native"), reference(site), *arrays(site, batch))


@few
@given(sites(), st.sampled_from(NAMES), st.sampled_from(["tiles", "window"]))
def test_xlas_lowerings_are_the_stock_block(site: ConvSite, name: str, pool: str) -> None:
    assert_agree(by(site, f"{name}/{pool}"), reference(site), *arrays(site))


@pytest.mark.parametrize("name", ["native", *(f"{name}/tiles" for name in NAMES)])
def test_each_lowering(name: str) -> None:
    """None is left to chance: strided, padded, pooled, with a rest."""
    pool = PoolSite((5, 4, 9), (2, 2), (2, 2), "VALID")
    site = ConvSite((9, 8, 2), 9, (3, 2), (2, 2), "SAME", True, True, pool)
    assert_agree(by(site, name), reference(site), *arrays(site))


def test_flat_regions_tie() -> None:
    """What a version that paid every tied maximum would get wrong is there in the pictures."""
    site = ConvSite((8, 8, 1), 8, (3, 3), (1, 1), "SAME", True, True,
                    PoolSite((8, 8, 8), (2, 2), (2, 2), "VALID"))  # fmt: skip
    images, kernel, bias = arrays(site, batch=4)
    before = stock_without_pool(site)(images, kernel, bias)
    windows = before.reshape(4, 4, 2, 4, 2, 8)
    top = windows.max((2, 4), keepdims=True)
    tied = ((windows == top).sum((2, 4)) > 1) & (top[:, :, 0, :, 0] > 0)
    assert tied.mean() > 0.01
    for name in ("native", "direct/direct/direct/tiles", "im2col/im2col/im2col/window"):
        assert_agree(by(site, name), reference(site), images, kernel, bias)


def stock_without_pool(site: ConvSite) -> Any:
    return reference(ConvSite(**{**vars(site), "pool": None}))


@pytest.mark.parametrize("lanes", [(3,), (2, 3)], ids=["lanes", "lanes of lanes"])
def test_native_lanes_side_by_side(lanes: tuple[int, ...]) -> None:
    """Under `vmap` the kernels get all lanes at once; one whose images are shared too."""
    pool = PoolSite((6, 6, 5), (3, 3), (2, 2), "SAME")
    site = ConvSite((6, 6, 2), 5, (3, 3), (1, 1), "SAME", True, True, pool)
    images, kernel, bias = arrays(site)
    kernels = whole(*lanes, *kernel.shape)

    def loss(run: Any, kernel: Any) -> jax.Array:
        return (run(images, kernel, bias) ** 2).sum()

    def gradients(run: Any) -> jax.Array:
        each = jax.grad(lambda kernel: loss(run, kernel))
        for _ in lanes:
            each = jax.vmap(each)
        return jax.jit(each)(kernels)

    got, wanted = gradients(by(site, "native")), gradients(reference(site))
    np.testing.assert_allclose(got, wanted, rtol=AGREE)


@few
@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_dense_lowerings(batch: int, inputs: int, units: int, biased: bool) -> None:
    given = [whole(batch, inputs), whole(inputs, units)] + [whole(units)] * biased

    def stock(rows: Any, kernel: Any, bias: Any = None) -> jax.Array:
        return rows @ kernel + (0 if bias is None else bias)

    for name in ("dot", "native"):
        assert_agree(lambda x, k, b=None, name=name: dense(x, k, b, name), stock, *given)


def test_a_nan_is_the_maximum() -> None:
    """As everywhere in JAX: a diverged trial shows, whatever computes it."""
    pool = PoolSite((4, 4, 1), (2, 2), (2, 2), "VALID")
    site = ConvSite((4, 4, 1), 1, (1, 1), (1, 1), "VALID", False, True, pool)
    images = np.ones((1, 4, 4, 1))
    images[0, [0, 1, 3], [0, 3, 2]] = np.nan
    found = conv_block(jnp.asarray(images), jnp.ones((1, 1, 1, 1)), None, site, "native")
    np.testing.assert_array_equal(np.isnan(found[0, ..., 0]), [[True, True], [False, True]])


def test_float32_is_as_near_as_xlas() -> None:
    site = ConvSite((12, 12, 8), 16, (3, 3), (1, 1), "SAME", True)
    images, kernel, bias = (np.asarray(a, np.float32) for a in arrays(site))
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=kernel.shape).astype(np.float32)
    exact = reference(site)(*(np.asarray(a, np.float64) for a in (images, kernel, bias)))
    for name in ("native", "direct/direct/direct/none"):
        got = conv_block(*map(jnp.asarray, (images, kernel, bias)), site, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, exact, atol=1e-5 * np.abs(exact).max())


CONV = ConvSite((28, 28, 1), 16, (3, 3), (1, 1), "VALID", True, True,
                PoolSite((26, 26, 16), (2, 2), (2, 2), "VALID"), first=True)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("auto", "native"),
        ("native", "native"),
        ("reference", "direct/direct/direct/window"),
        ("im2col", "im2col/im2col/im2col/tiles"),
        ("mixed", "direct/im2col/direct/tiles"),
    ],
)
def test_sets(name: str, chosen: str) -> None:
    assert lowerings.of_set(CONV, name, np.float32) == chosen


def test_what_does_not_serve_is_replaced() -> None:
    large = ConvSite((28, 28, 1), 16, (11, 11), (4, 4), "SAME", True)
    assert lowerings.of_set(large, "im2col", np.float32) == "direct/direct/direct/none"
    overlapping = PoolSite((26, 26, 16), (3, 3), (2, 2), "VALID")
    assert lowerings.of_set(overlapping, "im2col", np.float32) == "window"
    assert lowerings.of_set(CONV, "auto", jnp.bfloat16) == "im2col/im2col/im2col/tiles"
    assert lowerings.of_set(DenseSite(4, 3, True), "reference", np.float32) == "dot"


def test_a_choice_is_obeyed_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = lowerings.chooser({str(CONV): "native", "conv 5": "direct"}, "reference", np.float32)
    assert choose(CONV) == "native"
    assert choose(ConvSite(**{**vars(CONV), "features": 8})) == "direct/direct/direct/window"
    monkeypatch.setattr(native, "available", lambda: False)
    assert choose(CONV) == "direct/direct/direct/window"
    with pytest.raises(ConfigError, match="C\\+\\+ compiler"):
        lowerings.check("native")


def test_unknown_sets_are_refused() -> None:
    with pytest.raises(ConfigError, match="auto, reference, direct, im2col, mixed or native"):
        lowerings.check("fast")


def test_sites_tell_all_that_matters() -> None:
    assert str(CONV) == "conv 16 3×3 VALID, bias, relu, max 2×2 VALID on first 28×28×1"
    plain = ConvSite((9, 8, 4), 3, (5, 3), (2, 1), "SAME", False)
    assert str(plain) == "conv 3 5×3 stride 2×1 SAME on 9×8×4"
    assert str(PoolSite((9, 8, 4), (3, 3), (2, 2), "SAME")) == "max 3×3 stride 2×2 SAME on 9×8×4"
    assert str(DenseSite(400, 10, True)) == "dense 10, bias on 400"
