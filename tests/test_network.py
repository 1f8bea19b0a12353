"""The network that layers describe, against the same written by hand in plain Flax NNX, in float64."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bench import draws, zoo
from bench import layers as spec
from bench.errors import ConfigError
from bench.lanes import compiler_options
from bench.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Layers,
    MaxPool,
    Residual,
    Shape,
)
from bench.network import ACTIVATIONS, Build, Network, Step

AGREE = 1e-11  # of 1, or of an array's largest number; sums are taken in another order
relu = jax.nn.relu
# Compiled five times faster: what runs once need not run fast.
OPTIONS = {"xla_backend_optimization_level": 0, **(compiler_options("cpu") or {})}
quick = functools.partial(jax.jit, compiler_options=OPTIONS)


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


class Parts(NamedTuple):
    """A module, split: its graph, parameters and batch statistics."""

    graph: Any
    params: Any
    stats: Any

    @classmethod
    def of(cls, make: Callable[[], nnx.Module]) -> "Parts":
        """Only shapes: to compile initial values that nobody looks at takes seconds."""
        return cls(*nnx.split(nnx.eval_shape(make), nnx.Param, nnx.BatchStat))

    def call(self, images: Any, told: Step) -> np.ndarray:
        run = quick(lambda *parts: nnx.merge(self.graph, *parts)(images, told))
        return np.asarray(run(self.params, self.stats))


def network_of(layers: Layers, image: Shape, dropout: Any = None) -> Parts:
    """A network whose parameters and statistics are nowhere neutral."""
    dropout = range(len(spec.values(layers))) if dropout is None else dropout
    parts = Parts.of(lambda: Network(layers, image, Build(jnp.float64, dropout)))
    rng = np.random.default_rng(0)

    def fill(path: tuple, leaf: jax.Array) -> jax.Array:
        drawn = rng.normal(size=leaf.shape)
        return jnp.asarray(np.abs(drawn) + 0.5 if "var" in str(path) else drawn)

    return Parts(parts.graph, *jax.tree_util.tree_map_with_path(fill, parts[1:]))


def plain_with_parameters_of(network: Parts, row: Row) -> Parts:
    """The same numbers in the same order, shape by shape."""
    plain = Parts.of(lambda: Plain(row))
    filled = []
    for mine, other in zip(network[1:], plain[1:], strict=True):
        leaves, structure = jax.tree.leaves(mine), jax.tree.structure(other)
        assert [x.shape for x in leaves] == [x.shape for x in jax.tree.leaves(other)]
        filled.append(jax.tree.unflatten(structure, leaves))
    return Parts(plain.graph, *filled)


def passed(parts: Parts, call: Callable, images: Any, rows: int | None = None) -> list:
    """Outputs, new statistics, and the gradients of a function of the outputs' first `rows`."""

    def objective(params: Any, images: jax.Array, stats: Any) -> tuple:
        stats = jax.tree.map(lambda leaf: leaf, stats)  # variables that may change under `grad`
        module = nnx.merge(parts.graph, params, stats)
        outputs = call(module, images)[:rows]
        # Sines weigh each output differently.
        loss = (outputs * np.sin(1 + np.arange(outputs.size)).reshape(outputs.shape)).sum()
        return loss, (outputs, nnx.state(module, nnx.BatchStat))

    gradients = quick(jax.grad(objective, (0, 1), has_aux=True))
    results = gradients(parts.params, images, parts.stats)
    (for_params, for_images), (outputs, stats) = results
    leaves = [outputs, for_images, *jax.tree.leaves(stats), *jax.tree.leaves(for_params)]
    return [np.array(leaf) for leaf in leaves]


def assert_agree(got: list, wanted: list) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=0, atol=AGREE * max(1, np.abs(other).max()))


def pixels(batch: int, image: Shape) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, *image))


def step(train: bool, layers: Layers = (), **others: Any) -> Step:
    others = {"key": jnp.asarray(draws.key(0, draws.DROPOUT)), "stream": 5, **others}
    return Step(train, jnp.asarray(spec.values(layers), float), **others)


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
    got = passed(network, lambda net, x: net(x, step(train, row.layers)), images)
    wanted = passed(plain, lambda net, x: net(x, train), images)
    assert_agree(got, wanted)
    assert got[0].shape == (4, *spec.output_shape(row.layers, row.image))


def all_layers(layers: Layers) -> Iterator[Layer]:
    for layer in layers:
        yield layer
        for part in layer.parts():
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
    network = Network((Activation(name),), (13,), Build(jnp.float64, ()))
    x = jnp.linspace(-4, 4, 13)[None]

    def with_slope(function: Callable) -> tuple:
        value, pull = jax.vjp(function, x)
        return value, *pull(jnp.ones_like(x))

    told = step(False)
    got, wanted = quick(lambda: (with_slope(lambda x: network(x, told)), with_slope(STOCK[name])))()
    np.testing.assert_array_equal(got, wanted)


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
        network = Network(layers, image, Build(dtype, ()))
        images = jnp.zeros((3, *image), dtype)
        told = Step(False, jnp.zeros(len(spec.values(layers)), dtype))
        outputs = network(images, told)
        return outputs, nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)

    outputs, params, stats = jax.eval_shape(build_and_run)
    assert outputs.shape == (3, *spec.output_shape(layers, image))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == spec.parameters(layers, image)
    assert sum(leaf.size for leaf in jax.tree.leaves(stats)) == spec.state(layers, image)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, params, stats))} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("name", ["batch norm, all fields", "residual, projected"])
def test_masked_rows_are_as_if_absent(name: str) -> None:
    """Outputs of real rows, statistics and gradients, whatever pixels fill up the batch."""
    row = ROWS[name]
    network, real = network_of(row.layers, row.image), pixels(5, row.image)
    images = np.concatenate([real, 100 + 50 * pixels(3, row.image)])
    mask = jnp.arange(8) < 5
    alone = passed(network, lambda net, x: net(x, step(True, row.layers)), real)
    full = passed(network, lambda net, x: net(x, step(True, row.layers, mask=mask)), images, rows=5)
    assert not full[1][5:].any()  # nothing depends on them
    full[1] = full[1][:5]
    assert_agree(full, alone)


def test_a_full_mask_changes_nothing() -> None:
    row = ROWS["batch norm, all fields"]
    network, images = network_of(row.layers, row.image), pixels(5, row.image)
    mask = jnp.ones(5, bool)
    full = passed(network, lambda net, x: net(x, step(True, row.layers, mask=mask)), images)
    none = passed(network, lambda net, x: net(x, step(True, row.layers)), images)
    assert_agree(full, none)


# Dropout.

ONES = np.ones((64, 32, 32, 1))


def one_dropout(rate: jax.Array, x: jax.Array, key: jax.Array, stream: jax.Array) -> jax.Array:
    layers = (Dropout(0.5),)  # the rate in use is the lane's, not the skeleton's
    network = Network(layers, x.shape[1:], Build(jnp.float64, (0,)))
    return network(x, Step(True, rate[None], key, stream))


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
    x, key = pixels(20, (6,)), draws.key(0, draws.DROPOUT)
    compiled.clear_cache()
    rates = np.array([0.0, 0.3, 0.6])
    apart = [dropped(rate, x) for rate in rates]
    assert compiled._cache_size() == 1
    np.testing.assert_allclose(apart[1], np.where(apart[1] == 0, 0, x / 0.7), rtol=1e-15)
    lanes = quick(jax.vmap(one_dropout, (0, None, None, None)))(rates, x, key, 5)
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


def test_each_dropout_has_its_own_rate_and_draws() -> None:
    """Rates come in the order of `layers.values`; draws from apart, whether or not the others drop."""
    image, rates = (5, 5, 2), np.array(spec.values(MANY))
    assert rates.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    x, told = pixels(8, image), step(True, MANY)
    shapes = [(8, 5, 5, channels) for channels in (2, 2, 1, 1, 3, 3)]
    drawn = quick(
        lambda: [draws.uniform(told.key, 5, i << 26, shape) for i, shape in enumerate(shapes)]
    )
    uniforms = list(map(np.asarray, drawn()))
    for one in range(6):
        for other in range(one):
            size = min(uniforms[one].size, uniforms[other].size)
            pair = uniforms[one].ravel()[:size], uniforms[other].ravel()[:size]
            assert abs(np.corrcoef(*pair)[0, 1]) < 5 / np.sqrt(size)
    for dropout in [range(6), (1, 4), ()]:
        network = network_of(MANY, image, dropout)
        masks = [
            (u >= rate) / (1 - rate) if place in dropout else np.ones(1)
            for place, (u, rate) in enumerate(zip(uniforms, rates, strict=True))
        ]
        bias, kernel = map(np.asarray, jax.tree.leaves(network.params))
        wanted = many(x, masks, kernel[0, 0], bias)
        np.testing.assert_allclose(network.call(x, told), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("evaluation", [{"train": False}, {"train": True, "key": None}])
def test_evaluation_drops_nothing(evaluation: dict) -> None:
    x, told = pixels(4, (5, 5, 2)), step(layers=MANY, **evaluation)
    wanted = network_of(MANY, (5, 5, 2), ()).call(x, told)
    np.testing.assert_array_equal(network_of(MANY, (5, 5, 2)).call(x, told), wanted)
    assert (wanted != 0).all()


def test_a_layer_unknown_is_refused() -> None:
    with pytest.raises(TypeError, match="no module for the layer"):
        Network((Layer(),), (3,), Build(jnp.float64, ()))


def test_more_dropout_than_there_are_random_numbers_is_refused():
    """The 65th layer would draw what the first drew."""
    build = Build(jnp.float32, dropout=())
    firsts = [build.next_draws() for _ in range(64)]
    assert len(set(firsts)) == 64
    assert max(firsts) + 2**26 == 2**32
    with pytest.raises(ConfigError, match="more than 64 dropout layers"):
        build.next_draws()
