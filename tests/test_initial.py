import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from bench import padding
from bench.hyperparameters import INITIALIZERS
from bench.initial import INIT, initial_values, kernel
from bench.layers import (
    Activation,
    BatchNorm,
    Blocks,
    Conv,
    Dense,
    Flatten,
    LayerNorm,
    Layers,
    Shape,
    parameters,
    state,
)

SHAPES = [(3, 3, 24, 40), (250, 60)]  # fans 216 and 360; 250 and 60
CUT_STD = 0.87962566103423978  # the deviation of a standard normal cut off at two
NAMES = sorted(set(INITIALIZERS) - {"zeros"})
OPTIONS = {"xla_backend_optimization_level": 0}  # quick to compile; run once
quick = functools.partial(jax.jit, compiler_options=OPTIONS)
LAYERS = (Conv(8), BatchNorm(), Conv(8), Conv(8), BatchNorm(), Activation("relu"), Flatten(),
          Dense(8), Dense(8), Dense(3))  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


IMAGE = (4, 4, 8)


def arrays_of(layers: Layers) -> list[tuple[str, Shape]]:
    return list(padding.arrays(layers, IMAGE))


def named(arrays: list[tuple[str, Shape]], values: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    for path, shape in arrays:
        found[path], values = values[: math.prod(shape)].reshape(shape), values[math.prod(shape) :]
    assert not len(values)
    return found


def variance(name: str, shape: tuple[int, ...]) -> float:
    """As the papers and `jax.nn.initializers` have it."""
    fan_in, fan_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
    kind = name.partition("_")[0]
    return {"lecun": 1 / fan_in, "he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out)}[kind]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_an_initializer_draws_from_its_distribution(name: str, shape: tuple[int, ...]) -> None:
    """Ours and JAX's own, each against the formula; a tenth of a fan too many would fail."""
    wanted = variance(name, shape)
    # Of a uniform number, and of a normal one cut off at two deviations.
    spread = math.sqrt(3 * wanted) if name.endswith("uniform") else 2 * math.sqrt(wanted) / CUT_STD
    outside = 0 if name.endswith("uniform") else ndtr(-2)
    shape_of = (lambda x: (x + 1) / 2) if name.endswith("uniform") else (lambda x: ndtr(2 * x))
    ours = kernel(shape, (0, INIT, 0), name)
    draw = getattr(jax.nn.initializers, name)()
    stock = quick(lambda: draw(jax.random.key(0), shape, jnp.float32))()
    assert ours.dtype == np.float32
    for drawn in (ours, np.asarray(stock)):
        assert drawn.shape == shape
        drawn = drawn.reshape(-1).astype(float)
        # The variance of a sample of n is off by about √((kurtosis - 1) / n) of itself.
        assert abs(drawn.var() / wanted - 1) < 4 * math.sqrt(1.5 / len(drawn))
        assert abs(drawn.mean()) < 4 * math.sqrt(wanted / len(drawn))
        share = (shape_of(drawn / spread) - outside) / (1 - 2 * outside)
        assert stats.kstest(share, "uniform").pvalue > 1e-3
        assert -1.000001 <= drawn.min() / spread < -0.99
        assert 0.99 < drawn.max() / spread <= 1.000001


def test_normals_are_cut_off_at_two_deviations() -> None:
    drawn = kernel((1000, 200), (0, INIT, 0), "lecun_normal")
    deviation = math.sqrt(1 / 1000) / CUT_STD
    assert 1.999 < np.abs(drawn).max() / deviation < 2.000001


@pytest.mark.parametrize("init", sorted(INITIALIZERS))
def test_a_trials_start(init: str) -> None:
    arrays = arrays_of(LAYERS)
    values = initial_values(arrays, 5, init)
    assert values.shape == (parameters(LAYERS, IMAGE),)
    assert values.dtype == np.float32
    for path, part in named(arrays, values).items():
        match path.rpartition("/")[2]:
            case "bias":
                assert not part.any()
            case "scale":
                assert (part == 1).all()
            case "kernel":
                off = part.var() / variance(init, part.shape) - 1 if init != "zeros" else part.any()
                assert abs(off) < 5 * math.sqrt(1.5 / part.size)
            case other:
                pytest.fail(f"nothing is said of {other}")


def test_zeros_start_at_zero() -> None:
    arrays = arrays_of((Conv(3), Flatten(), Dense(2)))
    assert not initial_values(arrays, 5, "zeros").any()


def test_statistics_start_neutral() -> None:
    """A running mean of 0, a variance of 1; whichever initializer the kernels have."""
    arrays = list(padding.arrays(LAYERS, IMAGE, "statistics"))
    values = initial_values(arrays, 5, "zeros")
    assert (values.dtype, len(values)) == (np.float32, state(LAYERS, IMAGE))
    for path, part in named(arrays, values).items():
        assert (part == path.endswith("var")).all()
    assert initial_values([], 5, "he_normal").shape == (0,)


def test_a_start_is_a_function_of_the_seed_alone() -> None:
    """Not of JAX's precision, nor of how the layers are grouped."""
    values = initial_values(arrays_of(LAYERS), 5, "he_normal")
    assert values.tobytes() == initial_values(arrays_of(LAYERS), 5, "he_normal").tobytes()
    with jax.enable_x64(False):
        assert values.tobytes() == initial_values(arrays_of(LAYERS), 5, "he_normal").tobytes()
    grouped = (*LAYERS[:2], Blocks((LAYERS[2:3], LAYERS[3:6])), *LAYERS[6:])
    assert values.tobytes() == initial_values(arrays_of(grouped), 5, "he_normal").tobytes()
    assert values.tobytes() != initial_values(arrays_of(LAYERS), 6, "he_normal").tobytes()


def test_a_start_is_pinned() -> None:
    """Results that people have on disk depend on it."""
    values = initial_values(arrays_of((Flatten(), Dense(2, bias=False))), 1, "lecun_normal")
    np.testing.assert_allclose(values[:3], [-0.0064503001, 0.0028424698, 0.0657518804], rtol=1e-6)


def test_kernels_are_independent_of_each_other() -> None:
    arrays = arrays_of((Conv(8),) * 4)
    kernels = [
        part.reshape(-1)
        for seed in range(3)
        for path, part in named(arrays, initial_values(arrays, seed, "he_normal")).items()
        if path.endswith("kernel")
    ]
    correlation = np.corrcoef(kernels) - np.eye(12)
    assert np.abs(correlation).max() < 5 / math.sqrt(len(kernels[0]))


def test_other_parameters_do_not_move_a_kernels_draws() -> None:
    """Batch norm between two convs, or a bias, leaves their kernels as they were."""
    bare = arrays_of((Conv(8, bias=False), Conv(8, bias=False)))
    full = arrays_of((Conv(8), BatchNorm(), LayerNorm(), Conv(8)))
    one, other = (named(a, initial_values(a, 2, "he_normal")) for a in (bare, full))
    np.testing.assert_array_equal(one["layers/0/kernel"], other["layers/0/kernel"])
    np.testing.assert_array_equal(one["layers/1/kernel"], other["layers/3/kernel"])
