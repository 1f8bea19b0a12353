"""Optax from data: update rules whose hyperparameters are traced, schedules as tables.

A program may hold several families of optimizers; each lane applies its own. The learning rate is not
part of the rules: Optax evaluates the schedule on the host, and a table of rates enters the program.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from bench.trial import Trial

Hyper = Mapping[str, jax.Array]

FAMILIES: dict[str, Callable[[Hyper], optax.GradientTransformation]] = {
    "sgd": lambda _: optax.identity(),
    "momentum": lambda h: optax.trace(h["momentum"]),
    "nesterov": lambda h: optax.trace(h["momentum"], nesterov=True),
    "adam": lambda h: optax.scale_by_adam(h["beta1"], h["beta2"], h["eps"]),
    "adamw": lambda h: optax.scale_by_adam(h["beta1"], h["beta2"], h["eps"]),
    "rmsprop": lambda h: optax.scale_by_rms(h["decay"], h["eps"]),
    "adagrad": lambda h: optax.scale_by_rss(h["initial_accumulator"], h["eps"]),
    "lion": lambda h: optax.scale_by_lion(h["beta1"], h["beta2"]),
}
DECOUPLED = ("adamw", "lion")
_BLOCK = 4096  # updates whose rates are told at once: one shape for XLA to compile, however long trials are


def rule(family: str, hyper: Hyper) -> optax.GradientTransformation:
    """Clipping, weight decay and the family's own scaling, but for the learning rate.

    Args:
        family: a name in `FAMILIES`.
        hyper: scalars, traced or not: `clip_norm` (∞ for none), `weight_decay`, and the family's own.
    """
    decay = optax.add_decayed_weights(hyper["weight_decay"])
    scale = FAMILIES[family](hyper)
    both = (scale, decay) if family in DECOUPLED else (decay, scale)
    return optax.chain(optax.clip_by_global_norm(hyper["clip_norm"]), *both)


def init(families: tuple[str, ...], hyper: Hyper, params: Any) -> tuple:
    """The state of every family present, so that any lane can follow any of them."""
    return tuple(rule(family, hyper).init(params) for family in families)


def update(
    families: tuple[str, ...],
    family: jax.Array,
    hyper: Hyper,
    learning_rate: jax.Array,
    gradients: Any,
    states: tuple,
    params: Any,
) -> tuple[Any, tuple]:
    """One update of one lane: `(params, states)`.

    Args:
        families: those present in the program (static).
        family: () int32, the lane's own, an index into `families`.
        hyper: see `rule`.
        learning_rate: () for this update.
        gradients: as `params`.
        states: from `init`; only the lane's own family's moves.
        params: the parameters.
    """

    def apply(place: int) -> Callable[[], tuple[Any, tuple]]:
        def branch() -> tuple[Any, tuple]:
            updates, state = rule(families[place], hyper).update(gradients, states[place], params)
            updates = jax.tree.map(lambda u: -learning_rate.astype(u.dtype) * u, updates)
            moved = (*states[:place], state, *states[place + 1 :])
            return optax.apply_updates(params, updates), moved

        return branch

    if len(families) == 1:
        return apply(0)()
    return lax.switch(family, [apply(place) for place in range(len(families))])


def schedule(trial: Trial, steps_per_epoch: int) -> optax.Schedule:
    """Update number → learning rate, as Optax defines it."""
    rate, total = trial["learning_rate"], trial["epochs"] * steps_per_epoch
    match trial["schedule"]:
        case "cosine":
            return optax.cosine_decay_schedule(rate, total, trial["final_fraction"])
        case "warmup_cosine":
            warmup = max(1, round(trial["warmup_fraction"] * total))
            end = rate * trial["final_fraction"]
            return optax.warmup_cosine_decay_schedule(
                0.0, rate, warmup, max(total, warmup + 1), end
            )
        case "exponential" | "step" as kind:
            every = max(1, round(trial["decay_epochs"] * steps_per_epoch))
            staircase = kind == "step"
            return optax.exponential_decay(rate, every, trial["decay_rate"], staircase=staircase)
    return optax.constant_schedule(rate)


def learning_rates(trial: Trial, steps_per_epoch: int) -> np.ndarray:
    """(epochs · steps_per_epoch,): the learning rate of each of the trial's updates."""
    updates = trial["epochs"] * steps_per_epoch
    if trial["schedule"] == "constant":
        return np.full(updates, trial["learning_rate"])
    rate_at = schedule(trial, steps_per_epoch)
    rates = np.empty((-(-updates // _BLOCK), _BLOCK))
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        for block, first in zip(rates, range(0, updates, _BLOCK), strict=True):
            # Optax counts in int32, and its rates are as exact as that makes them.
            block[:] = rate_at(first + jnp.arange(_BLOCK, dtype=jnp.int32))
    return rates.ravel()[:updates]
