"""A trial inside a wider program against the same trial by itself, in float64."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import Phase, given, settings
from jax import lax

from bench import draws, optim
from bench.hyperparameters import OPTIMIZERS
from bench.layers import (
    ACTIVATIONS,
    Activation,
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
    flat,
)
from bench.modules import Build, Step
from bench.network import Network
from bench.padding import MOVES_ZERO, fit, widest
from bench.vector import Packing
from tests.families import CLASSES, families
from tests.networks import quick

AGREE = 1e-10
BATCH, REAL = 5, 4  # rows, of which the last is no example
KEY = draws.key(3, draws.DROPOUT, 1)


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


class Split(NamedTuple):
    """A network: its graph, and how its parameters and statistics are packed."""

    graph: Any
    packing: Packing
    stats: Packing

    @classmethod
    def of(cls, layers: Layers, image: Shape, padded: bool) -> "Split":
        network = nnx.eval_shape(lambda: Network(layers, image, Build(jnp.float64, padded)))
        graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)
        return cls(graph, Packing(params), Packing(stats))

    def call(self, params: jax.Array, stats: jax.Array, images: jax.Array, told: Step) -> tuple:
        """Logits, and the statistics as they then are."""
        parts = self.packing.split(params), self.stats.split(stats)
        network = nnx.merge(self.graph, self.packing.unpack(parts[0]), self.stats.unpack(parts[1]))
        logits = network(images, told)
        moved, *_ = self.stats.pack(nnx.state(network, nnx.BatchStat))  # nothing of it is large
        return logits, moved

    def all(self, params: Any, stats: Any, *, images: Any, values: Any, ranks: Any = None) -> dict:
        """Of a training step with a row that is masked, and of an evaluation."""
        step = Step(True, values, ranks, jnp.asarray(KEY), 7, 10, jnp.arange(BATCH) < REAL)

        def objective(params: jax.Array) -> tuple:
            logits, moved = self.call(params, stats, images, step)
            weights = jnp.sin(1 + jnp.arange(logits.size)).reshape(logits.shape)
            return (logits * weights)[:REAL].sum(), (logits[:REAL], moved)

        gradient, (logits, moved) = jax.grad(objective, has_aux=True)(params)
        evaluated, kept = self.call(params, stats, images, Step(False, values, ranks))
        return {
            "gradient": gradient,
            "logits": logits,
            "moved": moved,
            "evaluated": evaluated,
            "kept": kept,
        }


def dropout_values(layers: Any) -> list[float]:
    """Rates and numbers, of all dropouts in the order of the data."""

    def rates(value: Any) -> Iterator[float]:
        if isinstance(value, Dropout):
            yield value.rate
        elif isinstance(value, tuple | Layer):
            for part in value if isinstance(value, tuple) else vars(value).values():
                yield from rates(part)

    return [v for number, rate in enumerate(rates(layers)) for v in (rate, number)]


def start(wide: Split, place: Any) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and statistics that are nowhere neutral, but for the zeros of padding."""
    rng = np.random.default_rng(0)
    params, stats = np.zeros(wide.packing.size), np.zeros(wide.stats.size)
    params[place.params] = rng.normal(size=len(params[place.params]))
    stats[place.stats] = np.abs(rng.normal(size=len(stats[place.stats]))) + 0.5
    return params, stats


def assert_close(got: Any, wanted: Any) -> None:
    scale = max(1.0, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(got, wanted, rtol=AGREE, atol=AGREE * scale)


def assert_one_is_the_other(members: list[Layers], wide: Layers, image: Shape) -> None:
    """Each of the members in a program of `wide`, which is compiled once."""
    within = Split.of(wide, image, padded=True)
    images = np.random.default_rng(1).normal(size=(BATCH, *image))
    inside = quick(functools.partial(within.all, images=images))
    for layers in members:
        place, alone = fit(layers, wide, image), Split.of(flat(layers), image, padded=False)
        params, stats = start(within, place)
        own = params[place.params], stats[place.stats] if stats[place.stats].size else stats[:1]
        values = jnp.asarray([*dropout_values(layers), 0.0])
        wanted = quick(functools.partial(alone.all, images=images))(*own, values=values)
        got = inside(params, stats, values=place.values, ranks=place.ranks)
        of = {"gradient": place.params, "moved": place.stats, "kept": place.stats}
        for name, array in wanted.items():
            found = np.asarray(got[name])
            if name not in of:
                assert_close(found, array)
            elif found[of[name]].size:
                assert_close(found[of[name]], array)
                assert np.abs(array).max() > 0
            # What is padding has no gradient at all. Its statistics may move, in blocks that are passed by.
            padding = np.delete(found, of[name]) if name in of else found
            assert not padding.any() if name == "gradient" else np.isfinite(padding).all()


# Each example compiles: to shrink one would take minutes.
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)
@given(families(members=2))
def test_a_trial_in_a_program_is_the_trial(family: tuple[Shape, list[Layers]]) -> None:
    image, members = family
    assert_one_is_the_other(members[:1], widest(members), image)


def every(width: int, depth: int, one: str, other: str, rate: float = 0.3) -> Layers:
    """One of everything."""
    act, after = Activation(one), Activation(other)
    inner = (Branch(((Conv(width, 2),), (Dropout(rate), act), ())), Conv(width + 1, 1))
    block = (Dense(width + 1), BatchNorm(), after, Dropout(rate))
    return (
        *(Conv(2 * width), BatchNorm(), act, Residual((after, Conv(width), Conv(2 * width, 1)))),
        *(Residual(inner, (LayerNorm(1e-2), Conv(width + 1, 1))), MaxPool(2)),
        Branch(((Conv(width, 1), Dropout(rate)), (after,), ())),
        *(LayerNorm(1e-2), Dropout(rate), Flatten(), act, Dense(2 * width), LayerNorm(1e-2)),
        *(Blocks((block,) * depth), Residual((Dense(width + 1),)), Dropout(rate), Dense(CLASSES)),
    )


def test_one_of_everything() -> None:
    """Padded up to threefold, in width and depth."""
    members = [
        every(2, 1, "sigmoid", "relu"),
        every(6, 3, "selu", "relu", rate=0.0),
        every(3, 2, "selu", "softplus"),
    ]
    assert_one_is_the_other([members[0], members[2]], widest(members), (4, 4, 2))


@pytest.mark.parametrize(("kind", "names"), [("average", ACTIVATIONS), ("max", MOVES_ZERO)])
def test_all_activations_mixed(kind: str, names: tuple[str, ...]) -> None:
    """Those that move zero would flow on through a global pool and a norm of all channels."""

    def net(width: int, name: str) -> Layers:
        acted = (Activation(name), GlobalPool(kind), Activation(name), LayerNorm(1e-2))
        return (Conv(width), *acted, Dense(width), Activation(name), Dense(CLASSES))

    members = [net(1 + place % 4, name) for place, name in enumerate(names)]
    wide = widest([*members, net(6, "relu")])
    assert_one_is_the_other(members, wide, (4, 4, 1))


# Over updates


def trained(width: int, depth: int, act: str) -> Layers:
    block = (Dense(width, bias=False), LayerNorm(), Activation(act), Dropout(0.2))
    return (
        *(Conv(width, bias=False), BatchNorm(), Activation(act), Residual((Conv(width),))),
        *(Branch(((Conv(width, 1),), (Conv(2, 1), Activation(act)))), Flatten(), Dense(width)),
        *(Blocks((block,) * depth), Dense(CLASSES)),
    )


UPDATES = 5
IMAGE = (4, 4, 1)
NARROW = trained(2, 1, "sigmoid")
WIDE = widest([NARROW, trained(5, 3, "tanh"), trained(3, 2, "softplus")])
FAMILIES = tuple(OPTIMIZERS)


@functools.cache
def run(padded: bool) -> Callable:
    """(params, stats, hyper, family, values, ranks) → parameters and states after the updates."""
    split = Split.of(WIDE if padded else flat(NARROW), IMAGE, padded)
    images = np.random.default_rng(2).normal(size=(UPDATES, BATCH, *IMAGE))
    targets = jax.nn.one_hot(np.arange(BATCH) % CLASSES, CLASSES, dtype=jnp.float64)

    def updates(params: Any, stats: Any, hyper: Any, family: Any, values: Any, ranks: Any) -> tuple:
        def update(carry: tuple, now: tuple) -> tuple:
            params, stats, states = carry
            number, batch = now

            def loss(params: jax.Array) -> tuple:
                told = Step(True, values, ranks if padded else None, jnp.asarray(KEY), number)
                logits, moved = split.call(params, stats, batch, told)
                return -(targets * jax.nn.log_softmax(logits)).sum(), moved

            gradient, stats = jax.grad(loss, has_aux=True)(params)
            rate = jnp.asarray(0.05)
            params, states = optim.update(FAMILIES, family, hyper, rate, gradient, states, params)
            return (params, stats, states), None

        before = (params, stats, optim.init(FAMILIES, hyper, params))
        return lax.scan(update, before, (jnp.arange(UPDATES), images))[0]

    return quick(updates)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("decay", "clip"), [(0.0, np.inf), (0.1, 0.5)], ids=["plain", "all"])
def test_padding_stays_zero_over_updates(family: str, decay: float, clip: float) -> None:
    """In every optimizer, and all that is real goes the trial's own way."""
    hyper = {n: r.default for rules in OPTIMIZERS.values() for n, r in rules.items()}
    hyper |= {n: r.default for n, r in OPTIMIZERS[family].items()}
    hyper = {n: jnp.asarray(float(v)) for n, v in hyper.items()}
    hyper |= {"weight_decay": jnp.asarray(decay), "clip_norm": jnp.asarray(clip)}
    place, within = fit(NARROW, WIDE, IMAGE), Split.of(WIDE, IMAGE, padded=True)
    params, stats = start(within, place)
    number = jnp.int32(FAMILIES.index(family))
    got = run(True)(params, stats, hyper, number, jnp.asarray(place.values), place.ranks)
    own = jnp.asarray(dropout_values(flat(NARROW)))
    before = params[place.params], stats[place.stats]
    wanted = run(False)(*before, hyper, number, own, np.zeros(0, np.int32))
    moved = np.abs(np.asarray(wanted[0]) - before[0])
    assert (moved > 0).mean() > 0.9
    np.testing.assert_allclose(np.asarray(got[0])[place.params], wanted[0], rtol=1e-8, atol=1e-8)
    assert not np.delete(np.asarray(got[0]), place.params).any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))
