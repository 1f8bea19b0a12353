"""Convolutions in a row with pools between, then dense layers; and dense layers alone."""

from collections.abc import Sequence
from typing import Any

from bench.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Layers,
    MaxPool,
)
from bench.zoo.dense import head, tapered
from bench.zoo.registry import model


@model
def stack(
    classes: int,
    *,
    features: int = 16,
    filter_repeats: int = 2,
    kernel: int = 3,
    padding: str = "SAME",
    pool: int = 2,
    pool_kind: str = "max",
    units: int = 64,
    dense_layers: int = 1,
    taper: float = 1.0,
    activation: str = "relu",
    batch_norm: bool = False,
    filter_dropout: float = 0.0,
    dropout: float = 0.0,
) -> Layers:
    """Equal convolutions with pools between, then dense layers, each narrower than the last.

    `filter_repeats` times conv (`features`, `kernel`×`kernel`, `padding`), batch norm if wanted,
    activation and a pool of `pool`×`pool` (1: none) whose padding is VALID; dropout at
    `filter_dropout`; then `dense_layers` times dense, activation and dropout; then the logits.
    The first dense layer has `units`, each next one its predecessor's times
    taper ** (1 / dense_layers), truncated, so one more would have about units · taper.
    """
    norm = (BatchNorm(),) if batch_norm else ()
    pools = (MaxPool((pool, pool)) if pool_kind == "max" else AveragePool((pool, pool)),)
    conv = Conv(features, (kernel, kernel), padding=padding)
    block = (conv, *norm, Activation(activation), *(pools if pool > 1 else ()))
    widths = tapered(units, dense_layers, taper)
    # A rate of 0 keeps its Dropout: the rate is data, so all rates then share one program.
    return (
        *(block * filter_repeats),
        Flatten(),
        Dropout(filter_dropout),
        *head(classes, widths, activation=activation, dropout=dropout),
    )


@model
def mlp(
    classes: int,
    *,
    units: int = 64,
    dense_layers: int = 1,
    taper: float = 1.0,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Layers:
    """`dense_layers` times dense, batch norm if wanted, activation and dropout; then the logits.

    The widths are those of `stack`. Without dense layers it is logistic regression.
    """
    widths = tapered(units, dense_layers, taper)
    own = head(classes, widths, activation=activation, dropout=dropout, batch_norm=batch_norm)
    return Flatten(), *own


@model
def convnet(
    classes: int,
    *,
    filters: tuple[int, ...] = (32, 64),
    conv_layers: int = 0,
    last_filters: int = 0,
    kernels: tuple[int, ...] = (3,),
    paddings: tuple[str, ...] = ("SAME",),
    pool: int = 2,
    pool_every: int = 1,
    most_pools: int = 0,
    hidden: tuple[int, ...] = (64,),
    activation: str = "relu",
    batch_norm: bool = False,
    activation_dropout: float = 0.0,
    filter_dropout: float = 0.0,
    dropout: float = 0.0,
    output: str = "softmax",
) -> Layers:
    """Convolutions in a row, each of its own width, kernel and padding; then dense layers of any widths.

    Of `filters`, `kernels` and `paddings` each convolution takes its own, and those for which there is none
    the last. Each is followed by batch norm if wanted, activation, and dropout at `activation_dropout`
    (0: none, which is another program).

    Args:
        classes: C, how many come out.
        filters: widths of the convolutions.
        conv_layers: how many; 0 for as many as `filters`.
        last_filters: the width of one more behind them, without a pool; 0 for none.
        kernels: sides of their square kernels.
        paddings: SAME or VALID.
        pool: side of the max pools, which are VALID; 1 for none.
        pool_every: there is a pool behind every so many convolutions,
        most_pools: until there are so many; 0 for no limit.
        hidden: widths of the dense layers before the logits.
        activation: of all layers but the last.
        batch_norm: before the activation of each convolution.
        activation_dropout: behind the activation of each convolution.
        filter_dropout: of what enters the dense layers.
        dropout: behind the activation of each dense layer.
        output: "softmax", or "sigmoid" for `outputs.SigmoidOutput`.
    """
    norm = (BatchNorm(),) if batch_norm else ()
    drop = (Dropout(activation_dropout),) if activation_dropout else ()
    convs: Layers = ()
    depth = conv_layers or len(filters)
    widths = [_nth(filters, place) for place in range(depth)] + [last_filters] * bool(last_filters)
    for place, width in enumerate(widths):
        kernel, padding = _nth(kernels, place), _nth(paddings, place)
        conv = Conv(width, (kernel, kernel), padding=padding)
        convs += (conv, *norm, Activation(activation), *drop)
        pools, rest = divmod(place + 1, pool_every)
        if pool > 1 and not rest and place < depth and pools <= (most_pools or depth):
            convs += (MaxPool((pool, pool)),)
    own = head(classes, hidden, activation=activation, dropout=dropout, output=output)
    return *convs, Flatten(), Dropout(filter_dropout), *own


def _nth(values: Sequence[Any], place: int) -> Any:
    """The value at `place`, or the last."""
    return values[min(place, len(values) - 1)]
