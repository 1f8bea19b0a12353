"""Initial parameters, drawn on the host in each kernel's real shape.

A trial's start is a function of its seed alone: not of its program, its lane or the device.
"""

import math
from typing import Any

import jax
import numpy as np
from scipy.special import ndtr, ndtri

from bench.draws import INIT
from bench.hyperparameters import INITIALIZERS

# The standard deviation of a standard normal cut off at two deviations.
_TRUNCATED_STD = 0.87962566103423978
_ONES = ("scale", "var")  # batch norm's; biases and running means start at zero


def initial_values(state: Any, seed: int, init: str) -> Any:
    """`state` with its shapes filled in.

    Args:
        state: the parameters or batch statistics of a network, as arrays or shapes.
        seed: the trial's.
        init: a name in `hyperparameters.INITIALIZERS`, for kernels.

    Returns:
        The same tree of numpy arrays, float32 values in the leaves' own dtype. Each kernel has its own
        generator, by its place among the kernels.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    filled, kernels = [], 0
    for path, leaf in leaves:
        names = [getattr(key, "key", None) for key in path]
        if "kernel" in names:
            value = kernel(leaf.shape, (seed, INIT, kernels), init)
            kernels += 1
        else:
            value = np.full(leaf.shape, float(any(name in names for name in _ONES)))
        filled.append(value.astype(leaf.dtype))
    return jax.tree.unflatten(structure, filled)


def kernel(shape: tuple[int, ...], entropy: tuple[int, ...], init: str) -> np.ndarray:
    """(…, I, O) float32 with variance gain / (fan_in + weight · fan_out), pixels counted in the fans.

    Sources: LeCun et al. 1998, Glorot & Bengio 2010, He et al. 2015; normals are cut off at two
    deviations and rescaled, as in `jax.nn.initializers`.
    """
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
