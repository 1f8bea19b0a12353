"""Initial parameters, drawn on the host in each kernel's real shape.

A trial's start is a function of its seed alone: not of its program, its lane or the device.
"""

import functools
import math
from collections.abc import Iterable

import numpy as np
from scipy.special import ndtr, ndtri

from bench.hyperparameters import INITIALIZERS
from bench.layers import Shape

MOST_KEPT = 1 << 14  # numbers of a kernel that is kept for the next trial of the same seed
INIT = 0  # the purpose of these draws, apart from those in `bench.draws`

# The standard deviation of a standard normal cut off at two deviations.
_TRUNCATED_STD = 0.87962566103423978


def initial_values(arrays: Iterable[tuple[str, Shape]], seed: int, init: str) -> np.ndarray:
    """(P,) float32: the parameters, or the batch statistics, from which a trial starts, one behind the other.

    Args:
        arrays: path and shape of each, see `padding.arrays`.
        seed: the trial's.
        init: a name in `hyperparameters.INITIALIZERS`, for kernels. Each has a generator of its own, by
            its place among the kernels.
    """
    values, kernels = [np.zeros(0, np.float32)], 0
    for path, shape in arrays:
        match path.rpartition("/")[2]:
            case "kernel":
                values.append(kernel(shape, (seed, INIT, kernels), init).reshape(-1))
                kernels += 1
            case "scale" | "var":  # a norm's; biases and running means are zero
                values.append(np.ones(math.prod(shape), np.float32))
            case _:
                values.append(np.zeros(math.prod(shape), np.float32))
    return np.concatenate(values)


def kernel(shape: tuple[int, ...], entropy: tuple[int, ...], init: str) -> np.ndarray:
    """(…, I, O) float32 with variance gain / (fan_in + weight · fan_out), pixels counted in the fans.

    Sources: LeCun et al. 1998, Glorot & Bengio 2010, He et al. 2015; normals are cut off at two
    deviations and rescaled, as in `jax.nn.initializers`.
    """
    # Thousands of small trials may start from one seed.
    drawn = _kept if math.prod(shape) <= MOST_KEPT else _drawn
    return drawn(shape, entropy, init)


def _drawn(shape: tuple[int, ...], entropy: tuple[int, ...], init: str) -> np.ndarray:
    gain, fan_out_weight, uniform = INITIALIZERS[init]
    *pixels, fan_in, fan_out = shape
    fans = math.prod(pixels) * (fan_in + fan_out_weight * fan_out)
    generator = np.random.Generator(np.random.PCG64(entropy))
    drawn = generator.random(shape, np.float32)
    if uniform:
        drawn = (2 * drawn - 1) * math.sqrt(3)
    else:
        drawn = ndtri(ndtr(-2) + drawn * (ndtr(2) - ndtr(-2))) / _TRUNCATED_STD
    return (drawn * math.sqrt(gain / fans)).astype(np.float32)


_kept = functools.lru_cache(maxsize=256)(_drawn)
