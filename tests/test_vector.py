from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.layers import BatchNorm, Branch, Conv, Dense, Flatten, Layers, Shape
from bench.modules import Build
from bench.network import Network
from bench.vector import Packing

TREE = {
    "b": [np.arange(6.0).reshape(2, 3), np.array(6.0)],
    "a": (np.arange(7.0, 11).reshape(2, 1, 2), {"z": np.zeros((0, 3)), "c": np.array([11.0])}),
}


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def packing_of(layers: Layers, image: Shape) -> Packing:
    network = nnx.eval_shape(lambda: Network(layers, image, Build(jnp.float64)))
    return Packing(nnx.state(network, nnx.Param))


def assert_same(got, wanted) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)


def test_pack_lays_arrays_behind_each_other() -> None:
    """Keys in order, rows in order."""
    packing = Packing(TREE)
    assert packing.size == 12
    wanted = [7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(packing.pack(TREE), wanted)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_unpack_reverses_pack(kind) -> None:
    packing = Packing(TREE)
    tree = jax.tree.map(kind, TREE)
    vector = kind(packing.pack(tree))
    assert_same(packing.unpack(vector), tree)
    assert all(isinstance(part, type(vector)) for part in packing.arrays(vector))
    np.testing.assert_array_equal(packing.pack(packing.unpack(vector)), vector)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=6))
def test_any_shapes_go_round(shapes: list[tuple[int, ...]]) -> None:
    tree = [np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(shapes)]
    packing = Packing([jax.ShapeDtypeStruct(shape, np.float64) for shape in shapes])
    vector = np.concatenate([leaf.reshape(-1) for leaf in tree])
    assert packing.size == len(vector)
    assert_same(packing.unpack(vector), tree)


def test_a_tree_without_arrays() -> None:
    """Its vector has one number, for the devices' sake, and no name."""
    packing = Packing({})
    assert (packing.size, packing.paths, packing.arrays(np.zeros(1))) == (1, (), [])
    assert packing.pack({}).shape == (1,)
    assert packing.unpack(packing.pack({})) == {}


def test_arrays_of_a_host_vector_can_be_written_through() -> None:
    """They are views, not copies."""
    packing, vector = Packing(TREE), np.zeros(12)
    for number, part in enumerate(packing.arrays(vector)):
        part[...] = number
    np.testing.assert_array_equal(vector, [0, 0, 0, 0, 1, 3, 3, 3, 3, 3, 3, 4])


def test_inside_a_compiled_function_per_lane_with_gradients() -> None:
    packing = Packing(TREE)
    vectors = np.random.default_rng(0).normal(size=(3, 12))

    def weighted(vector: jax.Array) -> jax.Array:
        return packing.pack(jax.tree.map(lambda leaf: leaf**2, packing.unpack(vector))).sum()

    got = jax.jit(jax.vmap(jax.grad(weighted)))(vectors)
    np.testing.assert_allclose(got, 2 * vectors, rtol=1e-15)


def test_paths_name_a_networks_arrays() -> None:
    layers = (Conv(2), Branch(((Conv(1, bias=False),), (BatchNorm(),))), Flatten(), Dense(3))
    packing = packing_of(layers, (4, 4, 1))
    assert packing.paths == (
        "layers/0/bias",
        "layers/0/kernel",
        "layers/1/paths/0/0/kernel",
        "layers/1/paths/1/0/bias",
        "layers/1/paths/1/0/scale",
        "layers/3/bias",
        "layers/3/kernel",
    )
    shapes = [part.shape for part in packing.arrays(np.zeros(packing.size))]
    assert shapes == [(2,), (3, 3, 1, 2), (3, 3, 2, 1), (2,), (2,), (3,), (48, 3)]


def test_paths_count_as_people_do() -> None:
    """Layer 10 comes behind layer 9, not behind layer 1: the place of a kernel decides its draws."""
    packing = packing_of((Dense(1, bias=False),) * 12, (1,))
    assert packing.paths == tuple(f"layers/{i}/kernel" for i in range(12))
