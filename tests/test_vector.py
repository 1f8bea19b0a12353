from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import vector
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


def test_small_arrays_are_one_vector_and_large_ones_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keys in order, rows in order."""
    monkeypatch.setattr(vector, "LARGE", 5)
    packing = Packing(TREE)
    assert packing.size == 12
    small, *large = packing.pack(TREE)
    np.testing.assert_array_equal(small, [7, 8, 9, 10, 11, 6])
    assert_same(large, [TREE["b"][0].reshape(-1)])


@pytest.fixture(params=[1, 4, 5, 100])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All arrays but an empty one are large; some; one; none."""
    monkeypatch.setattr(vector, "LARGE", request.param)
    return request.param


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_unpack_reverses_pack(kind, large: int) -> None:
    packing, tree = Packing(TREE), jax.tree.map(kind, TREE)
    parts = packing.pack(tree)
    assert_same(packing.unpack(parts), tree)
    assert_same(packing.pack(packing.unpack(parts)), parts)
    whole = np.array([7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6.0])
    np.testing.assert_array_equal(packing.joined(parts), whole)
    assert_same(packing.split(kind(whole)), parts)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=6),
    st.integers(1, 40),
)
def test_any_shapes_go_round(shapes: list[tuple[int, ...]], large: int) -> None:
    tree = [np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(shapes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector, "LARGE", large)
        packing = Packing([jax.ShapeDtypeStruct(shape, np.float64) for shape in shapes])
        whole = np.concatenate([leaf.reshape(-1) for leaf in tree])
        assert packing.size == max(1, len(whole))
        parts = packing.split(whole)
        assert all(part.size for part in parts)
        assert_same(packing.unpack(parts), tree)
        np.testing.assert_array_equal(packing.joined(parts)[: len(whole)], whole)


def test_a_tree_without_arrays() -> None:
    """Its vector has one number, for the devices' sake, and no name."""
    packing = Packing({})
    assert (packing.size, packing.paths, packing.arrays(np.zeros(1))) == (1, (), [])
    (part,) = packing.pack({})
    assert part.shape == (1,)
    assert packing.unpack((part,)) == {}
    assert [part.dtype for part in packing.split(jnp.zeros(1, jnp.bfloat16))] == [jnp.bfloat16]
    assert packing.joined((np.zeros(1),)).shape == (1,)


def test_arrays_of_a_host_vector_can_be_written_through() -> None:
    """They are views, not copies."""
    packing, whole = Packing(TREE), np.zeros(12)
    for number, part in enumerate(packing.arrays(whole)):
        part[...] = number
    np.testing.assert_array_equal(whole, [0, 0, 0, 0, 1, 3, 3, 3, 3, 3, 3, 4])


def test_inside_a_compiled_function_per_lane_with_gradients(large: int) -> None:
    packing = Packing(TREE)
    vectors = np.random.default_rng(0).normal(size=(3, 12))

    def weighted(whole: jax.Array) -> jax.Array:
        squares = jax.tree.map(lambda leaf: leaf**2, packing.unpack(packing.split(whole)))
        return sum(part.sum() for part in packing.pack(squares))

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
