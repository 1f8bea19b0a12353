"""How convolutions, pools and dense layers are computed: lowerings with one contract, `flax.nnx`'s."""

from bench.ops.barrier import computed_once
from bench.ops.block import conv_block, dense, pooled
from bench.ops.conv import convolve
from bench.ops.pool import average_pool, max_pool
from bench.ops.sites import ConvSite, DenseSite, PoolSite, Site

__all__ = [
    "ConvSite",
    "DenseSite",
    "PoolSite",
    "Site",
    "average_pool",
    "computed_once",
    "conv_block",
    "convolve",
    "dense",
    "max_pool",
    "pooled",
]
