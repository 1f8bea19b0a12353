"""Dropout of traced rates, its draws by their place in the trial's own batch."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import draws
from bench.cells import MOST_DROPOUTS
from bench.errors import ConfigError
from bench.layers import Activation, Branch, Conv, Dropout, Layers, MaxPool, Residual
from bench.modules import Build, Step
from bench.network import Network
from bench.padding import DRAW_BITS, fit
from bench.plan import Machine, Plan, Workload, plan
from bench.trial import Trial
from tests.networks import network_of, operations, pixels, quick, step


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


ONES = np.ones((64, 32, 32, 1))
KEY = draws.key(0, draws.DROPOUT)


def one_dropout(rate: jax.Array, x: jax.Array, key: jax.Array, stream: jax.Array) -> jax.Array:
    layers = (Dropout(0.5),)  # the rate in use is the lane's, not the program's
    network = Network(layers, x.shape[1:], Build(jnp.float64))
    return network(x, Step(True, jnp.stack([rate, 0 * rate]), key=key, stream=stream))


compiled = quick(one_dropout)


def dropped(rate: float, x: Any = ONES, stream: int = 5, seed: int = 0, epoch: int = 0) -> Any:
    return np.asarray(compiled(np.float64(rate), x, draws.key(seed, draws.DROPOUT, epoch), stream))


def test_dropout_of_rate_0_is_exact() -> None:
    x = pixels(4, (5, 5, 3))
    assert dropped(0.0, x).tobytes() == x.tobytes()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate: float) -> None:
    """Each number is dropped with probability `rate`, or scaled up."""
    got = dropped(rate)
    kept = got != 0
    np.testing.assert_allclose(got[kept], 1 / (1 - rate), rtol=1e-15)
    assert abs(kept.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / kept.size)
    assert abs(got.mean() - 1) < 4 * np.sqrt(rate / (1 - rate) / kept.size)
    # Not whole rows, columns or images: neighbours along each axis are independent.
    for place in range(3):
        both = np.take(kept, range(31), place) & np.take(kept, range(1, 32), place)
        assert abs(both.mean() - (1 - rate) ** 2) < 0.02


def test_dropout_is_a_function_of_key_and_stream() -> None:
    first = dropped(0.5)
    np.testing.assert_array_equal(dropped(0.5), first)
    for other in (dropped(0.5, stream=6), dropped(0.5, seed=1), dropped(0.5, epoch=1)):
        assert abs((other == first).mean() - 0.5) < 0.02
    fewer = dropped(0.25)  # a lower rate drops a part of what a higher one does
    assert (fewer != 0)[first != 0].all()


def test_the_rate_is_traced() -> None:
    """One compilation for all rates, lanes with rates of their own, and a gradient."""
    x, key = pixels(20, (6,)), KEY
    compiled.clear_cache()
    rates = np.array([0.0, 0.3, 0.6])
    apart = [dropped(rate, x) for rate in rates]
    assert compiled._cache_size() == 1
    np.testing.assert_allclose(apart[1], np.where(apart[1] == 0, 0, x / 0.7), rtol=1e-15)
    lanes = quick(jax.vmap(one_dropout, (0, None, 0, None)))(rates, x, np.stack([key] * 3), 5)
    np.testing.assert_allclose(lanes, apart, rtol=1e-15)
    gradient = quick(jax.grad(lambda x: one_dropout(rates[1], x, key, 5).sum()))(x)
    np.testing.assert_allclose(gradient, (apart[1] != 0) / 0.7, rtol=1e-15)


MANY = (
    Dropout(0.1),
    Branch(((Dropout(0.2),), (Conv(1, 1), Dropout(0.3), Dropout(0.4)))),
    Residual((Dropout(0.5),), (Dropout(0.6),)),
)


def many(x: np.ndarray, masks: list, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """What `MANY` says, with what each dropout multiplies by."""
    a, b, c, d, e, f = masks
    x = x * a
    x = np.concatenate([x * b, (x @ kernel + bias) * c * d], -1)
    return x * e + x * f


def indices(number: int, rows: int, *shape: int) -> jax.Array:
    """Of the draws of a trial's dropout, row by row in its own batch."""
    size = rows * math.prod(shape)
    return ((number << 26) + jnp.arange(size, dtype=jnp.uint32)).reshape(rows, *shape)


def told(rates: Any, **others: Any) -> Step:
    """Each dropout with its rate and its number."""
    values = jnp.stack([jnp.asarray(rates, float), jnp.arange(float(len(rates)))], -1).reshape(-1)
    return step(True, values=values, **others)


RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def test_each_dropout_has_its_own_rate_and_draws() -> None:
    """Rates come in depth-first order; draws from apart, whether or not the others drop."""
    image, rates = (5, 5, 2), np.array(RATES)
    assert fit(MANY, MANY, image).values.tolist() == told(RATES).values.tolist()
    x = pixels(8, image)
    shapes = [(5, 5, channels) for channels in (2, 2, 1, 1, 3, 3)]
    drawn = quick(
        lambda: [
            draws.uniform(told(RATES).key, 5, indices(i, 8, *shape))
            for i, shape in enumerate(shapes)
        ]
    )
    uniforms = list(map(np.asarray, drawn()))
    for one in range(6):
        for other in range(one):
            size = min(uniforms[one].size, uniforms[other].size)
            pair = uniforms[one].ravel()[:size], uniforms[other].ravel()[:size]
            assert abs(np.corrcoef(*pair)[0, 1]) < 5 / np.sqrt(size)
    for dropping in [range(6), (1, 4), ()]:
        layers = only(MANY, dropping)
        network = network_of(layers, image)
        masks = [
            (u >= rate) / (1 - rate) if place in dropping else np.ones(1)
            for place, (u, rate) in enumerate(zip(uniforms, rates, strict=True))
        ]
        bias, kernel = map(np.asarray, jax.tree.leaves(network.params))
        wanted = many(x, masks, kernel[0, 0], bias)
        np.testing.assert_allclose(network.call(x, told(rates)), wanted, rtol=1e-12, atol=1e-12)
        # As data instead of structure: a rate of 0 in a program that drops.
        rated = told(np.where(np.isin(np.arange(6), dropping), rates, 0))
        np.testing.assert_allclose(
            network_of(MANY, image).call(x, rated), wanted, rtol=1e-12, atol=1e-12
        )


def only(layers: Layers, dropping: Any) -> Layers:
    """The layers, without the rates of dropouts whose number is not in `dropping`."""
    numbers = itertools.count()

    def bare(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(bare, value))
        if isinstance(value, Dropout):
            return value if next(numbers) in dropping else Dropout(0.0)
        if isinstance(value, Branch | Residual):
            return replace(value, **{name: bare(part) for name, part in vars(value).items()})
        return value

    return bare(layers)


def test_a_microbatch_drops_what_its_batch_would() -> None:
    """Rows of a batch that come in parts, which say at which row they begin."""
    image, rates = (5, 5, 2), RATES
    x, network = pixels(8, image), network_of(MANY, image)
    whole = network.call(x, told(rates))
    parts = [network.call(x[row : row + 4], told(rates, row=row)) for row in (0, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_numbers_are_drawn_once() -> None:
    """Neither the gradient nor the windows of a pool, which look at each number, draw anew."""
    images, relu, pool = jnp.ones((4, 8, 8, 4)), Activation("relu"), MaxPool()

    def trained(layers: Layers) -> float:
        network = Network(layers, images.shape[1:], Build(jnp.float64))

        def loss(x: jax.Array, values: jax.Array, key: jax.Array, stream: jax.Array) -> jax.Array:
            return (network(x, Step(True, values, key=key, stream=stream)) ** 2).sum()

        return operations(jax.grad(loss), images, told((0.5,)).values, KEY, 5)

    drawing = operations(draws.uniform, KEY, 5, indices(0, *images.shape))
    assert drawing > 50 * images.size  # twenty rounds of threefry
    assert trained((relu, Dropout(0.5), pool)) < trained((relu, pool)) + 1.5 * drawing


@pytest.mark.parametrize("evaluation", ["not in training", "no key", "no values"])
def test_evaluation_drops_nothing(evaluation: str) -> None:
    x = pixels(4, (5, 5, 2))
    others = {"not in training": {"train": False}, "no key": {"key": None}}
    passing = told(RATES)._replace(**others.get(evaluation, {"values": None}))
    wanted = network_of(only(MANY, ()), (5, 5, 2)).call(x, step(True))
    np.testing.assert_array_equal(network_of(MANY, (5, 5, 2)).call(x, passing), wanted)
    assert (wanted != 0).all()


def test_dropout_keeps_the_precision() -> None:
    x = jnp.ones((4, 6), jnp.float32)
    network = Network((Dropout(0.5),), (6,), Build(jnp.float32))
    got = network(x, told((0.5,)))
    assert got.dtype == np.float32
    assert set(np.asarray(got).ravel().tolist()) == {0.0, 2.0}


def test_as_many_dropouts_have_draws_of_their_own_as_the_plan_allows() -> None:
    """Numbers below 2³²: the 65th dropout would draw what the first drew."""
    assert DRAW_BITS == 26
    last = (MOST_DROPOUTS << DRAW_BITS) - 1
    assert last == 2**32 - 1
    with pytest.raises(ConfigError, match="more than 64 dropout layers"):
        planned(65)
    assert len(planned(64).programs) == 1


def planned(dropouts: int) -> Plan:
    trial = Trial.create({"model": "mlp", "dense_layers": dropouts, "dropout": 0.1}, {})
    return plan([trial], Workload((2, 2, 1), 3, 100), Machine("cpu", 1, 8 << 30))
