"""Update rules and schedules as data against Optax's own, built with plain numbers."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from bench import optim
from bench.hyperparameters import OPTIMIZERS, SCHEDULES
from bench.mesh import compiler_options
from bench.trial import Trial

UPDATES = 20
AGREE = 1e-12  # in float64, relative to parameters of size 1, after 20 updates; measured: ≤ 3e-16
# Compiled five times faster: what runs once need not run fast.
OPTIONS = {"xla_backend_optimization_level": 0, **(compiler_options("cpu") or {})}
quick = functools.partial(jax.jit, compiler_options=OPTIONS)

Hyper = dict[str, float]
NEUTRAL = {"clip_norm": math.inf, "weight_decay": 0.0}
FAMILIES = tuple(OPTIMIZERS)

# Optax as its users write it. Weight decay is added to the gradient, but for adamw and lion.
STOCK: dict[str, Callable[[Any, Hyper], optax.GradientTransformation]] = {
    "sgd": lambda rate, h: optax.sgd(rate),
    "momentum": lambda rate, h: optax.sgd(rate, momentum=h["momentum"]),
    "nesterov": lambda rate, h: optax.sgd(rate, momentum=h["momentum"], nesterov=True),
    "adam": lambda rate, h: optax.adam(rate, h["beta1"], h["beta2"], h["eps"]),
    "adamw": lambda rate, h: optax.adamw(
        rate, h["beta1"], h["beta2"], h["eps"], weight_decay=h["weight_decay"]
    ),
    "rmsprop": lambda rate, h: optax.rmsprop(rate, h["decay"], h["eps"]),
    "adagrad": lambda rate, h: optax.adagrad(rate, h["initial_accumulator"], h["eps"]),
    "lion": lambda rate, h: optax.lion(
        rate, h["beta1"], h["beta2"], weight_decay=h["weight_decay"]
    ),
}
DECOUPLED = {"adamw", "lion"}

# A value of each hyperparameter that is not its default, and that no other shares.
OTHER = {
    "momentum": 0.6,
    "beta1": 0.7,
    "beta2": 0.95,
    "eps": 1e-2,
    "decay": 0.75,
    "initial_accumulator": 0.5,
    "clip_norm": 1.5,
    "weight_decay": 0.3,
}


def defaults(family: str) -> Hyper:
    return NEUTRAL | {name: rule.default for name, rule in OPTIMIZERS[family].items()}


def cases() -> Iterator[tuple[str, str, Hyper]]:
    """For every family: its defaults, each hyperparameter changed by itself, and all of them."""
    for family in FAMILIES:
        plain = defaults(family)
        yield family, "defaults", plain
        for name in plain:
            yield family, name, plain | {name: OTHER[name]}
        yield family, "all", {name: OTHER[name] for name in plain}


CASES = [pytest.param(family, hyper, id=f"{family}-{what}") for family, what, hyper in cases()]

RNG = np.random.default_rng(0)
PARAMS = {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)}
GRADIENTS = {"kernel": RNG.normal(size=(UPDATES, 3, 2)), "bias": RNG.normal(size=(UPDATES, 2))}
RATES = 0.05 * RNG.random(UPDATES) + 0.01  # every update has its own


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@functools.cache
def ours(families: tuple[str, ...], lanes: bool = False) -> Callable:
    """(family, hyper) → parameters after all updates, and the states before and after."""

    def run(family: jax.Array, hyper: Hyper) -> tuple:
        def step(carry: tuple, now: tuple) -> tuple:
            params, states = carry
            gradients, rate = now
            arguments = (families, family, hyper, rate, gradients, states, params)
            return optim.update(*arguments), None

        before = optim.init(families, hyper, jax.tree.map(jnp.asarray, PARAMS))
        start = (jax.tree.map(jnp.asarray, PARAMS), before)
        (params, after), _ = lax.scan(step, start, (GRADIENTS, RATES))
        return params, before, after

    return quick(jax.vmap(run) if lanes else run)


@functools.cache
def _stock(family: str, hyper: tuple[tuple[str, float], ...]) -> dict[str, np.ndarray]:
    numbers = dict(hyper)
    decay = optax.add_decayed_weights(0 if family in DECOUPLED else numbers["weight_decay"])
    clip = optax.clip_by_global_norm(numbers["clip_norm"])
    optimizer = STOCK[family](lambda count: jnp.asarray(RATES)[count], numbers)
    optimizer = optax.chain(clip, decay, optimizer)

    def step(carry: tuple, gradients: Any) -> tuple:
        params, state = carry
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    def run() -> Any:
        params = jax.tree.map(jnp.asarray, PARAMS)
        return lax.scan(step, (params, optimizer.init(params)), GRADIENTS)[0][0]

    return jax.tree.map(np.asarray, quick(run)())


def stock(family: str, hyper: Hyper) -> dict[str, np.ndarray]:
    """Parameters after all updates of the stock optimizer, its numbers static."""
    return _stock(family, tuple(hyper.items()))


def traced(hyper: Hyper) -> dict[str, np.ndarray]:
    """With what other families need, as a lane has it."""
    filled = {name: value for family in FAMILIES for name, value in defaults(family).items()}
    return {name: np.asarray(value) for name, value in (filled | hyper).items()}


def assert_agree(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype == np.float64
        np.testing.assert_allclose(got[name], array, rtol=AGREE, atol=AGREE)


def test_the_table_is_complete() -> None:
    """Each family is in every table, and each case leads somewhere else than the defaults do."""
    assert set(optim.FAMILIES) == set(OPTIMIZERS) == set(STOCK)
    assert set(optim.DECOUPLED) == DECOUPLED
    for family, what, hyper in cases():
        if what != "defaults":
            plain = stock(family, defaults(family))
            assert np.abs(stock(family, hyper)["kernel"] - plain["kernel"]).max() > 1e-4, what


@pytest.mark.parametrize(("family", "hyper"), CASES)
def test_a_family_alone_is_the_stock_optimizer(family: str, hyper: Hyper) -> None:
    params, _, _ = ours((family,))(np.int32(0), traced(hyper))
    assert_agree(params, stock(family, hyper))


@pytest.mark.parametrize(("family", "hyper"), CASES)
def test_a_family_among_all_is_the_stock_optimizer(family: str, hyper: Hyper) -> None:
    """And the states of the others do not move."""
    place = FAMILIES.index(family)
    params, before, after = ours(FAMILIES)(np.int32(place), traced(hyper))
    assert_agree(params, stock(family, hyper))
    moved = [i for i in range(len(FAMILIES)) if differ(before[i], after[i])]
    assert moved == ([] if family == "sgd" else [place])  # sgd has no state


def differ(state: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True)
    return any(np.asarray(a).tobytes() != np.asarray(b).tobytes() for a, b in pairs)


def test_lanes_of_every_family_side_by_side() -> None:
    """Under `vmap`, where all families compute and each lane selects: every case is a lane."""
    table = list(cases())
    hypers = [traced(hyper) for _, _, hyper in table]
    stacked = {name: np.stack([hyper[name] for hyper in hypers]) for name in hypers[0]}
    places = np.array([FAMILIES.index(family) for family, _, _ in table], np.int32)
    params, before, after = ours(FAMILIES, lanes=True)(places, stacked)
    for lane, (family, _, hyper) in enumerate(table):
        assert_agree({name: array[lane] for name, array in params.items()}, stock(family, hyper))
        for place in range(len(FAMILIES)):
            pick = functools.partial(jax.tree.map, lambda leaf, lane=lane: leaf[lane])
            moved = differ(pick(before[place]), pick(after[place]))
            assert moved == (FAMILIES[place] == family != "sgd")


def test_nothing_recompiles_for_another_number() -> None:
    run = ours(FAMILIES)
    for family, _, hyper in list(cases())[::7]:
        run(np.int32(FAMILIES.index(family)), traced(hyper))
    assert run._cache_size() == 1


def test_an_update_by_hand() -> None:
    """Clipped to norm 1, then 0.5 · (1, -2) added, then times the rate 0.1."""
    hyper = traced({"clip_norm": 1.0, "weight_decay": 0.5})
    params, gradients = jnp.array([1.0, -2.0]), jnp.array([3.0, 4.0])
    states = optim.init(("sgd",), hyper, params)
    rate, family = jnp.asarray(0.1), jnp.int32(0)
    got, _ = optim.update(("sgd",), family, hyper, rate, gradients, states, params)
    np.testing.assert_allclose(got, [1 - 0.1 * (0.6 + 0.5), -2 - 0.1 * (0.8 - 1.0)], rtol=1e-15)


def test_a_gradient_of_zero_stays_finite() -> None:
    """Padding has one, and lanes compute every family on it."""
    zero = jnp.zeros(3)
    for family in FAMILIES:
        hyper = traced(defaults(family))
        states = optim.init((family,), hyper, zero)
        got, after = optim.update(
            (family,), jnp.int32(0), hyper, jnp.asarray(0.1), zero, states, zero
        )
        np.testing.assert_array_equal(got, 0)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


def test_what_traced_betas_change() -> None:
    """In float32, 1 - β is taken of a rounded β: measured, 7e-6 of Adam's first update; no more.

    In float64 the two are equal: rounding, not another rule.
    """

    def first_update(optimizer: optax.GradientTransformation, params: jax.Array) -> jax.Array:
        return optimizer.update(jnp.full_like(params, 0.3), optimizer.init(params), params)[0]

    for dtype, x64, low, high in ((np.float32, False, 1e-6, 1e-5), (np.float64, True, 0, 1e-13)):
        with jax.enable_x64(x64):
            params = jnp.ones(4, dtype)
            hyper = {name: jnp.asarray(v, dtype) for name, v in defaults("adam").items()}
            one = jax.jit(lambda h, p: first_update(optim.rule("adam", h), p))(hyper, params)
            other = jax.jit(lambda p: first_update(optax.scale_by_adam(0.9, 0.999, 1e-8), p))(
                params
            )
            assert one.dtype == other.dtype == dtype
            off = np.abs(one / other - 1).max()
            assert low <= off < high


# Schedules.

EPOCHS, STEPS = 6, 5  # 30 updates


def trial(schedule: str, **settings: Any) -> Trial:
    settings = {"learning_rate": 0.2, "epochs": EPOCHS, **settings}
    return Trial.create({"schedule": schedule, **settings}, {})


SCHEDULED = {
    "constant": (trial("constant"), optax.constant_schedule(0.2)),
    "cosine": (trial("cosine"), optax.cosine_decay_schedule(0.2, 30)),
    "cosine to a tenth": (
        trial("cosine", final_fraction=0.1),
        optax.cosine_decay_schedule(0.2, 30, 0.1),
    ),
    "warmup": (
        trial("warmup_cosine"),
        optax.warmup_cosine_decay_schedule(0.0, 0.2, 3, 30, 0.0),
    ),
    "warmup to a quarter": (
        trial("warmup_cosine", warmup_fraction=0.4, final_fraction=0.25),
        optax.warmup_cosine_decay_schedule(0.0, 0.2, 12, 30, 0.05),
    ),
    "exponential": (trial("exponential"), optax.exponential_decay(0.2, 5, 0.9)),
    "exponential, half an epoch": (
        trial("exponential", decay_rate=0.5, decay_epochs=0.6),
        optax.exponential_decay(0.2, 3, 0.5),
    ),
    "step": (
        trial("step", decay_epochs=2.0),
        optax.exponential_decay(0.2, 10, 0.1, staircase=True),
    ),
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_learning_rates_are_those_of_optax(name: str) -> None:
    """Called step by step, as a training loop does, of the schedule built by hand."""
    settings, schedule = SCHEDULED[name]
    rates = optim.learning_rates(settings, STEPS)
    assert rates.shape == (EPOCHS * STEPS,)
    np.testing.assert_allclose(rates, [float(schedule(step)) for step in range(30)], rtol=1e-6)
    one_by_one = [float(optim.schedule(settings, STEPS)(step)) for step in range(30)]
    np.testing.assert_allclose(rates, one_by_one, rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULED)
def test_learning_rates_told_in_blocks_are_those_told_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = optim.learning_rates(SCHEDULED[name][0], STEPS)
    monkeypatch.setattr(optim, "_BLOCK", 7)
    rates = optim.learning_rates(SCHEDULED[name][0], STEPS)
    np.testing.assert_allclose(rates, whole, rtol=1e-6)


def test_every_schedule_is_in_the_table() -> None:
    assert {settings["schedule"] for settings, _ in SCHEDULED.values()} == set(SCHEDULES)


HALF_CIRCLE = (1 + math.cos(math.pi * 29 / 30)) / 2  # of the last of 30 updates
BY_HAND = {
    "constant": {0: 0.2, 29: 0.2},
    "cosine": {0: 0.2, 15: 0.1, 29: 0.2 * HALF_CIRCLE},
    "cosine to a tenth": {0: 0.2, 15: 0.11, 29: 0.2 * (0.9 * HALF_CIRCLE + 0.1)},
    # 3 updates of warm-up from nothing, then half a circle over the other 27.
    "warmup": {0: 0, 1: 0.2 / 3, 2: 0.4 / 3, 3: 0.2, 12: 0.15, 21: 0.05},
    "warmup to a quarter": {0: 0, 6: 0.1, 12: 0.2, 21: 0.125},
    "exponential": {0: 0.2, 5: 0.18, 10: 0.162, 29: 0.2 * 0.9**5.8},
    "exponential, half an epoch": {0: 0.2, 3: 0.1, 6: 0.05},
    "step": {0: 0.2, 9: 0.2, 10: 0.02, 19: 0.02, 20: 0.002, 29: 0.002},
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_learning_rates_by_hand(name: str) -> None:
    rates = optim.learning_rates(SCHEDULED[name][0], STEPS)
    for step, wanted in BY_HAND[name].items():
        np.testing.assert_allclose(rates[step], wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_trial_of_one_update_has_a_rate(schedule: str) -> None:
    """Also without float64, as the product runs: finite and never above the learning rate."""
    with jax.enable_x64(False):
        rates = optim.learning_rates(trial(schedule, epochs=1), 1)
    assert rates.shape == (1,)
    assert 0 <= rates[0] <= 0.2 * (1 + 1e-6)
