"""The dense part that models have in common: from a flat input to the classes."""

from collections.abc import Iterable, Iterator

from bench.layers import Activation, BatchNorm, Blocks, Dense, Dropout, Layers
from bench.outputs import SigmoidOutput


def tapered(units: int, dense_layers: int, taper: float) -> Iterator[int]:
    """Widths: `units`, then each its predecessor's times taper ** (1 / dense_layers), truncated."""
    ratio = taper ** (1 / max(dense_layers, 1))
    for _ in range(dense_layers):
        yield units
        # The power is inexact: 0.001 ** (1/3) is not 0.1. Without the millionth a product that
        # should be whole could come out just below and lose a unit.
        units = max(1, int(units * ratio + 1e-6))


def head(
    classes: int,
    widths: Iterable[int],
    *,
    activation: str,
    dropout: float,
    batch_norm: bool = False,
    output: str = "softmax",
) -> Layers:
    """Dense layers of these widths, each with batch norm, activation and dropout; then the logits."""
    norm = (BatchNorm(),) if batch_norm else ()
    blocks = tuple(
        (Dense(width), *norm, Activation(activation), Dropout(dropout)) for width in widths
    )
    ends = (SigmoidOutput(),) if output == "sigmoid" else ()
    # As blocks, several depths can share a program.
    return (*((Blocks(blocks),) if blocks else ()), Dense(classes), *ends)
