"""The network that layers describe, against the same written by hand in plain Flax NNX, in float64."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bench import layers as spec
from bench import zoo
from bench.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    LayerNorm,
    Layers,
    MaxPool,
    Residual,
    Shape,
)
from bench.modules import ACTIVATIONS, Build, Step
from bench.network import Network
from tests.networks import (
    Parts,
    assert_agree,
    network_of,
    passed,
    pixels,
    quick,
    step,
)

relu = jax.nn.relu


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def conv(inputs: int, features: int, kernel: Any = (3, 3), strides: Any = 1, **others: Any) -> Any:
    return lambda rngs: nnx.Conv(
        inputs, features, kernel, strides, param_dtype=jnp.float64, rngs=rngs, **others
    )


def dense(inputs: int, units: int, **others: Any) -> Any:
    return lambda rngs: nnx.Linear(inputs, units, param_dtype=jnp.float64, rngs=rngs, **others)


def norm(channels: int, **others: Any) -> Any:
    others = {"momentum": 0.9, "epsilon": 1e-5, **others}
    return lambda rngs: nnx.BatchNorm(channels, param_dtype=jnp.float64, rngs=rngs, **others)


def layer_norm(channels: int, **others: Any) -> Any:
    return lambda rngs: nnx.LayerNorm(channels, param_dtype=jnp.float64, rngs=rngs, **others)


class Row(NamedTuple):
    """Layers, and what they stand for: stock modules in order, and the pass through them."""

    layers: Layers
    image: Shape
    modules: list[Callable]
    forward: Callable  # of x, and the modules
    norms: bool = False


def flat(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1)


def cat(*parts: jax.Array) -> jax.Array:
    return jnp.concatenate(parts, -1)


# An inception block, a residual one whose shortcut projects, one inside the other.
INCEPTION = Branch(
    (
        (Conv(2, 1), Activation("relu"), Conv(3, 3)),
        (MaxPool(3, 1, "SAME"), Conv(2, 1)),
        (),
    )
)
PROJECTED = Residual(
    (Conv(4, stride=2, bias=False), BatchNorm(), Activation("relu"), Conv(4)),
    (Conv(4, 1, 2), BatchNorm(0.5, 1e-3)),
)
ROWS: dict[str, Row] = {
    "conv": Row((Conv(4),), (6, 5, 2), [conv(2, 4)], lambda x, a: a(x)),
    "conv, all fields": Row(
        (Conv(3, (2, 4), (2, 1), "VALID", bias=False),),
        (7, 6, 2),
        [conv(2, 3, (2, 4), (2, 1), padding="VALID", use_bias=False)],
        lambda x, a: a(x),
    ),
    "conv of many taps": Row(
        (Conv(2, 8, 3),), (9, 9, 1), [conv(1, 2, (8, 8), 3)], lambda x, a: a(x)
    ),
    "max pool": Row(
        (Conv(2), MaxPool(2)),
        (7, 6, 1),
        [conv(1, 2)],
        lambda x, a: nnx.max_pool(a(x), (2, 2), (2, 2)),
    ),
    "max pool, all fields": Row(
        (Conv(2), MaxPool((3, 2), (2, 1), "SAME")),
        (7, 6, 1),
        [conv(1, 2)],
        lambda x, a: nnx.max_pool(a(x), (3, 2), (2, 1), "SAME"),
    ),
    "average pool": Row(
        (AveragePool((2, 3)),), (6, 6, 2), [], lambda x: nnx.avg_pool(x, (2, 3), (2, 3))
    ),
    "average pool, all fields": Row(
        (AveragePool((3, 2), (2, 1), "SAME"),),
        (7, 6, 2),
        [],
        lambda x: nnx.avg_pool(x, (3, 2), (2, 1), "SAME", count_include_pad=False),
    ),
    "flatten, dense": Row(
        (Flatten(), Dense(5)), (2, 3, 2), [dense(12, 5)], lambda x, a: a(flat(x))
    ),
    "dense without bias": Row(
        (Flatten(), Dense(5, bias=False)),
        (2, 3, 2),
        [dense(12, 5, use_bias=False)],
        lambda x, a: a(flat(x)),
    ),
    "global average": Row((GlobalPool(),), (3, 4, 2), [], lambda x: x.mean((1, 2))),
    "global max": Row((GlobalPool("max"),), (3, 4, 2), [], lambda x: x.max((1, 2))),
    "batch norm": Row((BatchNorm(),), (4, 3, 2), [norm(2)], lambda x, a: a(x), norms=True),
    "batch norm, all fields": Row(
        (Flatten(), BatchNorm(0.6, 1e-2)),
        (2, 3, 1),
        [norm(6, momentum=0.6, epsilon=1e-2)],
        lambda x, a: a(flat(x)),
        norms=True,
    ),
    "layer norm": Row((LayerNorm(),), (4, 3, 5), [layer_norm(5)], lambda x, a: a(x)),
    "layer norm, all fields": Row(
        (Flatten(), LayerNorm(1e-2)),
        (2, 3, 1),
        [layer_norm(6, epsilon=1e-2)],
        lambda x, a: a(flat(x)),
    ),
    "activation": Row(
        (Conv(2), Activation("gelu")), (4, 4, 1), [conv(1, 2)], lambda x, a: jax.nn.gelu(a(x))
    ),
    "dropout of 0": Row((Dropout(0.0),), (4, 4, 1), [], lambda x: x),
    "branch": Row(
        (INCEPTION,),
        (5, 5, 2),
        [conv(2, 2, (1, 1)), conv(2, 3), conv(2, 2, (1, 1))],
        lambda x, a, b, c: cat(b(relu(a(x))), c(nnx.max_pool(x, (3, 3), padding="SAME")), x),
    ),
    "residual": Row(
        (Residual((Conv(2), Activation("tanh"))),),
        (4, 5, 2),
        [conv(2, 2)],
        lambda x, a: jnp.tanh(a(x)) + x,
    ),
    "residual, projected": Row(
        (PROJECTED,),
        (6, 6, 2),
        [
            *(conv(2, 4, strides=2, use_bias=False), norm(4), conv(4, 4)),
            *(conv(2, 4, (1, 1), 2), norm(4, momentum=0.5, epsilon=1e-3)),
        ],
        lambda x, a, n, b, c, m: b(relu(n(a(x)))) + m(c(x)),
        norms=True,
    ),
    "blocks": Row(
        (Blocks(((Conv(3), Activation("silu")), (LayerNorm(), Conv(2, 1)), ())),),
        (4, 4, 2),
        [conv(2, 3), layer_norm(3), conv(3, 2, (1, 1))],
        lambda x, a, n, b: b(n(jax.nn.silu(a(x)))),
    ),
    "nested": Row(
        (
            Conv(3),
            Residual((INCEPTION, Conv(4, 1)), (Branch(((Conv(1),), (Residual(()),))),)),
            GlobalPool("max"),
            Dense(3),
        ),
        (5, 5, 1),
        [
            *(conv(1, 3), conv(3, 2, (1, 1)), conv(2, 3), conv(3, 2, (1, 1)), conv(8, 4, (1, 1))),
            *(conv(3, 1), dense(4, 3)),
        ],
        lambda x, *modules: nested(x, *modules),
    ),
    "a whole network": Row(
        (
            *(Conv(4), BatchNorm(), Activation("relu"), MaxPool(2), Dropout(0.0)),
            *(Conv(6), BatchNorm(), Activation("relu"), AveragePool(2), Dropout(0.0)),
            *(Flatten(), Dense(8), BatchNorm(), Activation("silu"), Dropout(0.0), Dense(3)),
        ),
        (8, 8, 1),
        [conv(1, 4), norm(4), conv(4, 6), norm(6), dense(24, 8), norm(8), dense(8, 3)],
        lambda x, *modules: whole(x, *modules),
        norms=True,
    ),
}


def nested(x: jax.Array, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> jax.Array:
    x = a(x)
    left = e(cat(c(relu(b(x))), d(nnx.max_pool(x, (3, 3), padding="SAME")), x))
    return g((left + cat(f(x), x + x)).max((1, 2)))


def whole(x: jax.Array, a: Any, k: Any, b: Any, m: Any, c: Any, n: Any, d: Any) -> jax.Array:
    x = nnx.max_pool(relu(k(a(x))), (2, 2), (2, 2))
    x = nnx.avg_pool(relu(m(b(x))), (2, 2), (2, 2))
    return d(jax.nn.silu(n(c(flat(x)))))


class Plain(nnx.Module):
    """Stock modules and a forward pass."""

    def __init__(self, row: Row):
        self.modules = nnx.List([make(nnx.Rngs(0)) for make in row.modules])
        self.forward = row.forward

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        def call(module: Any) -> Callable:
            if isinstance(module, nnx.BatchNorm):
                return lambda x: module(x, use_running_average=not train)
            return module

        return self.forward(images, *map(call, self.modules))


def plain_with_parameters_of(network: Parts, row: Row) -> Parts:
    """The same numbers in the same order, shape by shape."""
    plain = Parts.of(lambda: Plain(row))
    filled = []
    for mine, other in zip(network[1:], plain[1:], strict=True):
        leaves, structure = jax.tree.leaves(mine), jax.tree.structure(other)
        assert [x.shape for x in leaves] == [x.shape for x in jax.tree.leaves(other)]
        filled.append(jax.tree.unflatten(structure, leaves))
    return Parts(plain.graph, *filled)


@pytest.mark.parametrize(
    ("row", "train"),
    [
        pytest.param(row, train, id=f"{name}{', training' if train else ''}")
        for name, row in ROWS.items()
        for train in (False, True)
        if row.norms or not train
    ],
)
def test_network_is_the_plain_one(row: Row, train: bool) -> None:
    network = network_of(row.layers, row.image)
    plain = plain_with_parameters_of(network, row)
    images = pixels(4, row.image)
    got = passed(network, lambda net, x: net(x, step(train)), images)
    wanted = passed(plain, lambda net, x: net(x, train), images)
    assert_agree(got, wanted)
    assert got[0].shape == (4, *spec.output_shape(row.layers, row.image))


def all_layers(layers: Layers) -> Iterator[Layer]:
    for layer in layers:
        yield layer
        for part in layer.blocks if isinstance(layer, Blocks) else layer.parts():
            yield from all_layers(part)


def test_the_table_has_every_layer() -> None:
    kinds = {kind for kind in vars(spec).values() if isinstance(kind, type)}
    kinds = {
        kind for kind in kinds if issubclass(kind, Layer) and not kind.__name__.startswith("_")
    }
    used = {type(layer) for row in ROWS.values() for layer in all_layers(row.layers)}
    assert used == kinds - {Layer}


STOCK = {
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jax.nn.tanh,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "silu": jax.nn.silu,
    "leaky_relu": jax.nn.leaky_relu,
    "softplus": jax.nn.softplus,
    "identity": jax.nn.identity,
}


@pytest.mark.parametrize("name", spec.ACTIVATIONS)
def test_activations_are_those_of_jax(name: str) -> None:
    assert set(ACTIVATIONS) == set(spec.ACTIVATIONS) == set(STOCK)
    network = Network((Activation(name),), (13,), Build(jnp.float64))
    x = jnp.linspace(-4, 4, 13)[None]

    def with_slope(function: Callable) -> tuple:
        value, pull = jax.vjp(function, x)
        return value, *pull(jnp.ones_like(x))

    told = step(False)
    got, wanted = quick(lambda: (with_slope(lambda x: network(x, told)), with_slope(STOCK[name])))()
    np.testing.assert_array_equal(got, wanted)


def test_each_lane_has_its_own_activation() -> None:
    """Of those that the program's layer names, by its place among them; alone and side by side."""
    names = ("gelu", "relu", "sigmoid", "tanh")
    network = Network((Activation(names),), (13,), Build(jnp.float64))
    x = jnp.linspace(-4, 4, 13)[None]

    def call(value: jax.Array) -> jax.Array:
        return network(x, Step(False, value[None]))

    wanted = quick(lambda: jnp.stack([STOCK[name](x) for name in names]))()
    apart = [quick(call)(jnp.float64(place)) for place in range(4)]
    np.testing.assert_array_equal(apart, wanted)
    np.testing.assert_array_equal(quick(jax.vmap(call))(jnp.arange(4.0)), wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(
    ("layers", "image"),
    [
        *[pytest.param(row.layers, row.image, id=name) for name, row in ROWS.items()],
        *[pytest.param(zoo.build(name, {}, 7), (64, 64, 3), id=name) for name in zoo.MODELS],
    ],
)
def test_shapes_and_counts_are_the_static_ones(layers: Layers, image: Shape, dtype: Any) -> None:
    def build_and_run() -> tuple:
        network = Network(layers, image, Build(dtype))
        images = jnp.zeros((3, *image), dtype)
        outputs = network(images, Step(False))
        return outputs, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)

    outputs, params, stats = jax.eval_shape(build_and_run)
    assert outputs.shape == (3, *spec.output_shape(layers, image))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == spec.parameters(layers, image)
    assert sum(leaf.size for leaf in jax.tree.leaves(stats)) == spec.state(layers, image)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, params, stats))} == {jnp.dtype(dtype)}


def test_a_layer_unknown_is_refused() -> None:
    with pytest.raises(TypeError, match="no module for the layer"):
        Network((Layer(),), (3,), Build(jnp.float64))
