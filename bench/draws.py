"""Random numbers as pure functions of what they are for: nothing random is kept, saved or split.

A key comes from (seed, purpose, epoch), hashed on the host; a draw names its stream (the step) and its
element. One threefry block an element replaces chains of `fold_in`, which cost more to compile and to run.
It is written out here because JAX's own is a loop over arrays on a CPU and a kernel of its own on a GPU, and
neither is fused with what uses the numbers: a step with dropout took several times as long as one without.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = Any  # of JAX or NumPy: what the host hands in, the device may have traced

ORDER, DROPOUT, AUGMENT = range(1, 4)  # purposes; 0 is `bench.initial`'s

_GROUPS = 5  # of four rounds, as its authors recommend
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # bits, of even and of odd groups
_PARITY = np.uint32(0x1BD11BDA)


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
    one, two = _threefry(key, jnp.asarray(stream, jnp.uint32), index)
    mantissa = (one ^ two) >> 9 | jnp.uint32(0x3F800000)
    return lax.bitcast_convert_type(mantissa, jnp.float32) - 1


def _threefry(key: Array, one: jax.Array, two: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The block of a counter of two words, uint32, of shapes that broadcast."""
    words = jnp.asarray(key[0]), jnp.asarray(key[1]), key[0] ^ key[1] ^ _PARITY
    one, two = one + words[0], two + words[1]
    for group in range(_GROUPS):
        for bits in _ROTATIONS[group % 2]:
            one = one + two
            two = one ^ (two << bits | two >> 32 - bits)
        one = one + words[(group + 1) % 3]
        two = two + words[(group + 2) % 3] + jnp.uint32(group + 1)
    return one, two
