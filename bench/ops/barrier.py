"""What XLA is to compute once and keep."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

_UNKNOWN = 255  # no value


def computed_once(compute: Callable[[], jax.Array]) -> jax.Array:
    """The bytes that `compute` gives, for all who use them; no gradient passes.

    On a CPU, XLA computes anew wherever a result is used what it holds for cheap: the numbers that dropout
    draws, for each pixel of a pool's window once again. There it also drops `lax.optimization_barrier`
    before it decides. A loop is looked into by neither; this one ends after one round, since no value is
    255, which XLA does not know. Elsewhere XLA weighs the costs, and is left to it.

    Args:
        compute: gives uint8 below 255, of at least one element.
    """
    if jax.default_backend() != "cpu":
        return compute()
    shape = jax.eval_shape(compute).shape
    return lax.while_loop(
        lambda known: known[(0,) * len(shape)] == _UNKNOWN,
        lambda _: compute(),
        jnp.full(shape, _UNKNOWN, jnp.uint8),
    )
