import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32
from scipy import stats

from bench import draws, initial

KEY = draws.key(3, draws.DROPOUT, 5)
OPTIONS = {"xla_backend_optimization_level": 0}  # quick to compile; run once
quick = functools.partial(jax.jit, compiler_options=OPTIONS)
uniform = quick(draws.uniform)


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def counted(first: int, *shape: int) -> jax.Array:
    """Indices from `first` on, row by row."""
    return jnp.arange(first, first + math.prod(shape), dtype=jnp.uint32).reshape(shape)


def as_fraction(bits: int) -> float:
    """The 23 highest of 32 bits."""
    return (bits >> 9) / 2**23


@pytest.mark.parametrize(
    ("key", "stream", "first", "block"),
    # Known answers that the authors of threefry-2x32 publish with it: Random123, kat_vectors.
    [
        ((0, 0), 0, 0, (0x6B200159, 0x99BA4EFE)),
        ((0x13198A2E, 0x03707344), 0x243F6A88, 0x85A308D3, (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_uniform_is_threefry(key: tuple, stream: int, first: int, block: tuple) -> None:
    got = draws.uniform(jnp.array(key, jnp.uint32), stream, counted(first, 1))
    assert got.dtype == np.float32
    assert got[0] == as_fraction(block[0] ^ block[1])


def test_uniform_is_pinned() -> None:
    """Results that people have on disk depend on these."""
    assert KEY.tolist() == [955304516, 3938430304]
    got = uniform(KEY, 7, counted(1000, 2, 2)) * 2**23
    np.testing.assert_array_equal(got, [[3341696, 8164484], [5988597, 3448137]])


def test_uniform_counts_by_stream_and_element() -> None:
    index = np.arange(50, 74, dtype=np.uint32)
    counts = np.concatenate([np.full(24, 9, np.uint32), index])
    bits = quick(threefry_2x32)(jnp.asarray(KEY), counts)
    wanted = [as_fraction(int(one ^ two)) for one, two in np.asarray(bits).reshape(2, 24).T]
    np.testing.assert_array_equal(uniform(KEY, 9, counted(50, 2, 3, 4)).reshape(-1), wanted)


def test_uniform_of_stream_0_is_that_of_jax() -> None:
    key = jax.random.wrap_key_data(KEY)
    wanted = quick(lambda: jax.random.uniform(key, (30, 7), np.float32))()
    np.testing.assert_array_equal(uniform(KEY, 0, counted(0, 30, 7)), wanted)


def test_uniform_is_the_same_however_it_is_taken() -> None:
    """Eager, compiled, per lane, with a traced key and stream, in other pieces, without float64."""
    wanted = np.stack([draws.uniform(KEY, step, counted(100, 4, 6)) for step in range(3)])
    streams, keys = np.arange(3, dtype=np.int32), np.stack([KEY] * 3)
    lanes = quick(jax.vmap(lambda key, step: draws.uniform(key, step, counted(100, 4, 6))))
    np.testing.assert_array_equal(lanes(keys, streams), wanted)
    np.testing.assert_array_equal(draws.uniform(KEY, 2, counted(106, 3, 6)), wanted[2, 1:])
    order = np.random.default_rng(0).permutation(24)
    shuffled = counted(100, 24)[order]
    np.testing.assert_array_equal(draws.uniform(KEY, 2, shuffled), wanted[2].reshape(-1)[order])
    with jax.enable_x64(False):
        np.testing.assert_array_equal(lanes(keys, streams), wanted)


def test_uniform_is_uniform() -> None:
    drawn = np.asarray(uniform(KEY, 1, counted(0, 1 << 18)), float)
    n, buckets = len(drawn), 64
    assert 0 <= drawn.min() < 1e-4 < 1 - 1e-4 < drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(drawn.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)
    counts = np.histogram(drawn, buckets, (0, 1))[0]
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4
    pairs = np.histogram2d(drawn[::2], drawn[1::2], 16, ((0, 1), (0, 1)))[0]  # neighbours
    assert 1e-4 < stats.chisquare(pairs.ravel()).pvalue < 1 - 1e-4


def test_streams_and_keys_are_independent() -> None:
    keys = [draws.key(seed, draws.DROPOUT, epoch) for seed in (0, 1) for epoch in (0, 1)]
    rows = [uniform(key, step, counted(0, 4096)) for key in keys for step in (0, 1)]
    correlation = np.corrcoef(np.array(rows)) - np.eye(len(rows))
    assert np.abs(correlation).max() < 5 / np.sqrt(4096)


def test_keys_differ_by_seed_purpose_and_epoch() -> None:
    seeds = (*range(20), 2**31, 2**32 - 1)
    purposes = (initial.INIT, draws.ORDER, draws.DROPOUT, draws.AUGMENT)
    keys = [tuple(draws.key(s, p, e)) for s in seeds for p in purposes for e in range(20)]
    assert len(set(purposes)) == 4
    assert len(set(keys)) == len(keys) == 22 * 4 * 20
    words = np.array(keys, np.uint64)
    assert all(len(np.unique(word)) > 0.99 * len(keys) for word in words.T)  # each word is in use


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(1, 300))
def test_an_order_visits_each_example_once(seed: int, epoch: int, examples: int) -> None:
    order = draws.order(seed, epoch, examples)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(examples))
    draws.order.cache_clear()
    again = draws.order(seed, epoch, examples)
    assert again is not order
    np.testing.assert_array_equal(again, order)


def test_orders_differ_by_seed_and_epoch() -> None:
    orders = {tuple(draws.order(seed, epoch, 40)) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400
    assert draws.order(0, 0, 8).tolist() == [1, 3, 7, 6, 0, 4, 2, 5]  # pinned, as above


def test_orders_are_fair() -> None:
    """Every example is as likely in every place."""
    places = np.stack([draws.order(1, epoch, 10) for epoch in range(2000)])
    counts = np.stack([np.bincount(place, minlength=10) for place in places.T])
    assert 1e-4 < stats.chisquare(counts.ravel()).pvalue < 1 - 1e-4


@pytest.mark.parametrize("cached", [draws.key, draws.order])
def test_what_is_cached_cannot_be_written_to(cached) -> None:
    before = cached(1, 2, 30).tolist()
    with pytest.raises(ValueError, match="read-only"):
        cached(1, 2, 30)[:] = 0
    assert cached(1, 2, 30).tolist() == before
