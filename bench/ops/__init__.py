"""How convolutions and pools are computed: lowerings with one numerical contract, `flax.nnx`'s."""

from bench.ops.conv import convolve
from bench.ops.pool import average_pool, max_pool

__all__ = ["average_pool", "convolve", "max_pool"]
