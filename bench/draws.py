"""Random numbers as pure functions of what they are for: nothing random is kept, saved or split.

A key comes from (seed, purpose, epoch), hashed on the host; a draw names its stream (the step) and its
element. One threefry block an element replaces chains of `fold_in`, which cost more to compile and to run.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry2x32_p

Array = Any  # of JAX or NumPy: what the host hands in, the device may have traced

ORDER, DROPOUT, AUGMENT = range(1, 4)  # purposes; 0 is `bench.initial`'s


@functools.lru_cache(maxsize=4096)
def key(seed: int, purpose: int, epoch: int = 0) -> np.ndarray:
    """(2,) uint32: the key of everything that one seed is used for in one epoch."""
    return _read_only(np.random.SeedSequence((seed, purpose, epoch)).generate_state(2))


@functools.lru_cache(maxsize=8)
def order(data_seed: int, epoch: int, examples: int) -> np.ndarray:
    """(examples,) int32: the order in which an epoch visits its examples."""
    generator = np.random.Generator(np.random.PCG64((data_seed, ORDER, epoch)))
    return _read_only(generator.permutation(examples).astype(np.int32))


def _read_only(cached: np.ndarray) -> np.ndarray:
    cached.flags.writeable = False  # every caller gets the same array
    return cached


def uniform(key: Array, stream: Array | int, index: jax.Array) -> jax.Array:
    """float32 in [0, 1), with 23 random bits, whatever the precision of the rest; shaped as `index`.

    Args:
        key: (2,) uint32.
        stream: () the step.
        index: uint32, which number of the stream each element is. Draws of one key and stream that are not
            meant to be equal must not share an index.

    Source: threefry-2x32 in counter mode (Salmon et al., SC 2011), the counter (stream, index).
    """
    stream = jnp.broadcast_to(jnp.asarray(stream, jnp.uint32), index.shape)
    one, two = threefry2x32_p.bind(
        jnp.broadcast_to(key[0], index.shape), jnp.broadcast_to(key[1], index.shape), stream, index
    )
    mantissa = (one ^ two) >> 9 | jnp.uint32(0x3F800000)
    return lax.bitcast_convert_type(mantissa, jnp.float32) - 1
