"""Batch norm of batches that are not full, and of those that several devices share."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from bench.layers import Activation, BatchNorm, Conv, Flatten, Layers, Residual, Shape
from bench.mesh import BATCH_AXIS, lane_mesh
from bench.modules import Build, Step
from bench.network import Network
from tests.networks import (
    Parts,
    assert_agree,
    network_of,
    operations,
    passed,
    pixels,
    quick,
    step,
)

NORM = (Flatten(), BatchNorm(0.6, 1e-2))
PROJECTED = (
    Residual(
        (Conv(4, stride=2, bias=False), BatchNorm(), Activation("relu"), Conv(4)),
        (Conv(4, 1, 2), BatchNorm(0.5, 1e-3)),
    ),
)


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("layers", "image"), [(NORM, (2, 3, 1)), (PROJECTED, (6, 6, 2))], ids=["alone", "residual"]
)
def test_masked_rows_are_as_if_absent(layers: Layers, image: Shape) -> None:
    """Outputs of real rows, statistics and gradients, whatever pixels fill up the batch."""
    network, real = network_of(layers, image), pixels(5, image)
    images = np.concatenate([real, 100 + 50 * pixels(3, image)])
    mask = jnp.arange(8) < 5
    alone = passed(network, lambda net, x: net(x, step(True)), real)
    full = passed(network, lambda net, x: net(x, step(True, mask=mask)), images, rows=5)
    assert not full[1][5:].any()  # nothing depends on them
    full[1] = full[1][:5]
    assert_agree(full, alone)


def test_a_full_mask_changes_nothing() -> None:
    network, images = network_of(NORM, (2, 3, 1)), pixels(5, (2, 3, 1))
    mask = jnp.ones(5, bool)
    full = passed(network, lambda net, x: net(x, step(True, mask=mask)), images)
    none = passed(network, lambda net, x: net(x, step(True)), images)
    assert_agree(full, none)


def test_a_mask_costs_little() -> None:
    """Real rows are counted, not each of their numbers."""
    images = pixels(5, (4, 4, 3))

    def forward(images: jax.Array, mask: jax.Array | None) -> jax.Array:
        return Network((BatchNorm(),), (4, 4, 3), Build(jnp.float64))(images, step(True, mask=mask))

    full, masked = (operations(forward, images, mask) for mask in (None, jnp.arange(5) < 3))
    assert masked < full + 2.5 * images.size  # real or not, for a sum and for one of squares


@pytest.mark.parametrize("real", [8, 5, 3])
def test_batch_norm_of_a_batch_spread_over_devices(real: int) -> None:
    """Statistics are the whole batch's, whatever share of its real rows each device has."""
    mesh = lane_mesh(jax.devices()[:2], batch=2)
    layers, image = (BatchNorm(0.6, 1e-2),), (3, 2, 2)
    images, mask = pixels(8, image), jnp.arange(8) < real
    weights = np.sin(1 + np.arange(images.size)).reshape(images.shape)
    masked = None if real == 8 else mask
    wanted = passed(
        network_of(layers, image), lambda n, x: n(x, step(True, mask=masked)), images, real
    )

    spread = Parts.of(lambda: Network(layers, image, Build(jnp.float64, axis=BATCH_AXIS)))
    start = network_of(layers, image)

    def share(params: Any, stats: Any, x: jax.Array, mask: jax.Array, weights: jax.Array) -> tuple:
        def objective(params: Any, x: jax.Array) -> tuple:
            module = nnx.merge(spread.graph, params, jax.tree.map(lambda leaf: leaf, stats))
            y = module(x, step(True, mask=None if real == 8 else mask))
            loss = (y * weights * mask.reshape(-1, 1, 1, 1)).sum()
            return loss, (y, nnx.state(module, nnx.BatchStat))

        (of_params, of_x), (y, moved) = jax.grad(objective, (0, 1), has_aux=True)(params, x)
        return y, of_x, moved, jax.lax.psum(of_params, BATCH_AXIS)

    rows, whole = PartitionSpec(BATCH_AXIS), PartitionSpec()
    placed = jax.shard_map(
        share,
        mesh=mesh,
        in_specs=(whole, whole, rows, rows, rows),
        out_specs=(rows, rows, whole, whole),
        check_vma=False,
    )
    y, of_x, *others = quick(placed)(start.params, start.stats, images, mask, weights)
    got = [np.asarray(leaf) for leaf in (y[:real], of_x, *jax.tree.leaves(others))]
    assert_agree(got, wanted)


def test_statistics_of_half_precision_are_of_single() -> None:
    """On several devices too. In bfloat16 the squares of numbers near 10 are known to 0.5."""
    images = jnp.asarray(10 + pixels(8, (6, 6, 2)), jnp.bfloat16)

    def variance(images: jax.Array) -> jax.Array:
        build = Build(jnp.float32, axis=BATCH_AXIS, computed=jnp.bfloat16)
        network = Network((BatchNorm(0.0),), (6, 6, 2), build)
        assert network(images, Step(True)).dtype == jnp.bfloat16
        return jax.tree.leaves(nnx.state(network, nnx.BatchStat))[1]

    mesh = lane_mesh(jax.devices()[:2], batch=2)
    rows, whole = PartitionSpec(BATCH_AXIS), PartitionSpec()
    placed = jax.shard_map(variance, mesh=mesh, in_specs=rows, out_specs=whole, check_vma=False)
    wanted = np.asarray(images, np.float64).var((0, 1, 2))
    np.testing.assert_allclose(quick(placed)(images), wanted, rtol=1e-4)
