"""The precisions that a config can ask for, by name."""

from typing import Any, NamedTuple

import numpy as np


class Precision(NamedTuple):
    """What numbers are, by name.

    Attributes:
        stored: parameters, statistics, optimizers, losses and sums.
        computed: what layers compute in, their inputs and weights rounded to it.
        products: how matrix products and convolutions take float32 (`jax_default_matmul_precision`), where
            the chip has a choice.
    """

    stored: str
    computed: str
    products: str


PRECISIONS: dict[str, Precision] = {
    "float32": Precision("float32", "float32", "float32"),
    # 10 bits of mantissa in products, summed in float32: NVIDIA's tensor cores, and their JAX default.
    "tf32": Precision("float32", "float32", "tensorfloat32"),
    "bfloat16": Precision("float32", "bfloat16", "float32"),
    "float64": Precision("float64", "float64", "float32"),
}


def of(precision: Any) -> Precision:
    """By its name, or by a dtype in which all is stored and computed."""
    return PRECISIONS[precision if precision in PRECISIONS else np.dtype(precision).name]
