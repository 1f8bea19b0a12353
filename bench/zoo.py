"""The models that a config can name: functions from classes and hyperparameters to layers."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.checks import Check, fraction, must_be, one_of, positive, whole
from bench.errors import ConfigError, nearest
from bench.layers import (
    ACTIVATIONS,
    Activation,
    AveragePool,
    BatchNorm,
    Blocks,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layers,
    MaxPool,
)

Model = Callable[..., Layers]

MODELS: dict[str, Model] = {}

# Convolutions in each block of configurations A, B, D and E, by layers with weights.
_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

_count = must_be("a whole number ≥ 0", lambda v: isinstance(v, int) and v >= 0)

# How each hyperparameter is checked, whichever model has it, before a layer could complain of it
# in words that are not the config's.
CHECKS: dict[str, Check] = {
    **dict.fromkeys(("classes", "features", "kernel", "pool", "units"), whole),
    **dict.fromkeys(("filter_repeats", "dense_layers"), _count),
    **dict.fromkeys(("filter_dropout", "dropout"), fraction),
    "padding": one_of("SAME", "VALID"),
    "pool_kind": one_of("max", "average"),
    "depth": one_of(*_VGG),
    "taper": positive,
    "activation": one_of(*ACTIVATIONS),
    "batch_norm": one_of(False, True),
}


def model(function: Model) -> Model:
    """Registers `function` in MODELS and checks what it is given (else ConfigError)."""

    @functools.wraps(function)
    def checked(classes: int, **settings: Any) -> Layers:
        for name, value in {"classes": classes, **settings}.items():
            if name in CHECKS:  # a model from elsewhere may have others, and checks them itself
                CHECKS[name](name, value)
        return function(classes, **settings)

    MODELS[function.__name__] = checked
    return checked


def hyperparameters(model: str) -> dict[str, Any]:
    """The model's hyperparameters with their defaults. ConfigError for an unknown model."""
    if model not in MODELS:
        raise ConfigError(f"unknown model {model!r}; {nearest(model, MODELS)}")
    return dict(_keywords(MODELS[model]))


@functools.cache
def _keywords(model: Model) -> Mapping[str, Any]:
    given = inspect.signature(model).parameters.values()
    return {p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY}


def build(model: str, settings: Mapping[str, Any], classes: int) -> Layers:
    """The model's layers. `settings` may hold more than its hyperparameters: they are left out.

    Raises ConfigError for an unknown model or a hyperparameter that cannot be used.
    """
    own = ((name, settings[name]) for name in hyperparameters(model) if name in settings)
    return _built(MODELS[model], classes, tuple(own))


@functools.lru_cache(maxsize=4096)  # thousands of trials may differ in learning rates alone
def _built(model: Model, classes: int, settings: tuple[tuple[str, Any], ...]) -> Layers:
    return model(classes, **dict(settings))


def _tapered(units: int, dense_layers: int, taper: float) -> Iterator[int]:
    ratio = taper ** (1 / max(dense_layers, 1))
    for _ in range(dense_layers):
        yield units
        # The power is inexact: 0.001 ** (1/3) is not 0.1. Without the millionth a product that
        # should be whole could come out just below and lose a unit.
        units = max(1, int(units * ratio + 1e-6))


def _head(
    classes: int,
    *,
    units: int,
    dense_layers: int,
    taper: float,
    activation: str,
    batch_norm: bool,
    dropout: float,
) -> Layers:
    """From a flat input to the logits."""
    norm = (BatchNorm(),) if batch_norm else ()
    widths = _tapered(units, dense_layers, taper)
    blocks = tuple(
        (Dense(width), *norm, Activation(activation), Dropout(dropout)) for width in widths
    )
    # As blocks, several depths can share a program.
    return (*((Blocks(blocks),) if blocks else ()), Dense(classes))


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
    # A rate of 0 keeps its Dropout: the rate is data, so all rates then share one program.
    return (
        *(block * filter_repeats),
        Flatten(),
        Dropout(filter_dropout),
        *_head(
            classes,
            units=units,
            dense_layers=dense_layers,
            taper=taper,
            activation=activation,
            batch_norm=False,
            dropout=dropout,
        ),
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

    The widths are those of `stack`.
    """
    return (
        Flatten(),
        *_head(
            classes,
            units=units,
            dense_layers=dense_layers,
            taper=taper,
            activation=activation,
            batch_norm=batch_norm,
            dropout=dropout,
        ),
    )


@model
def alexnet(
    classes: int,
    *,
    features: int = 24,
    units: int = 256,
    dense_layers: int = 2,
    taper: float = 1.0,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Layers:
    """AlexNet's layers at other widths: an 11×11 convolution of stride 4, a 5×5 one and three of 3×3.

    `features` is the first width; those after it are 8/3, 4, 4 and 8/3 times as wide. Pools of 3×3 and
    stride 2 follow the first, the second and the last convolution; all padding is SAME, for small images.
    The dense layers are those of `stack`, without the local normalisation that the paper had.

    Source: Krizhevsky, Sutskever, Hinton, 2012: 96 features, two dense layers of 4096 units, dropout 0.5.
    """
    norm = (BatchNorm(),) if batch_norm else ()

    def conv(width: int, kernel: int, stride: int = 1) -> Layers:
        return Conv(width, (kernel, kernel), (stride, stride)), *norm, Activation(activation)

    pool = MaxPool((3, 3), (2, 2), "SAME")
    middle, wide = 8 * features // 3, 4 * features
    return (
        *(*conv(features, 11, 4), pool, *conv(middle, 5), pool),
        *(*conv(wide, 3), *conv(wide, 3), *conv(middle, 3), pool),
        Flatten(),
        *_head(
            classes,
            units=units,
            dense_layers=dense_layers,
            taper=taper,
            activation=activation,
            batch_norm=False,
            dropout=dropout,
        ),
    )


@model
def vgg(
    classes: int,
    *,
    depth: int = 11,
    features: int = 16,
    units: int = 128,
    dense_layers: int = 2,
    taper: float = 1.0,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Layers:
    """VGG's layers at other widths: five blocks of 3×3 convolutions, each with a 2×2 pool at its end.

    `depth` is 11, 13, 16 or 19, which with the paper's three dense layers (two and the logits) is the number
    of layers with weights. `features` is the first block's width; those after it are 2, 4, 8 and 8 times as
    wide. All padding is SAME. The dense layers are those of `stack`.

    Source: Simonyan and Zisserman, ICLR 2015: 64 features, two dense layers of 4096 units, dropout 0.5.
    """
    norm = (BatchNorm(),) if batch_norm else ()
    blocks: Layers = ()
    for repeats, widening in zip(_VGG[depth], (1, 2, 4, 8, 8), strict=True):
        conv = Conv(widening * features, (3, 3)), *norm, Activation(activation)
        blocks += (*(conv * repeats), MaxPool((2, 2), padding="SAME"))
    return (
        *blocks,
        Flatten(),
        *_head(
            classes,
            units=units,
            dense_layers=dense_layers,
            taper=taper,
            activation=activation,
            batch_norm=False,
            dropout=dropout,
        ),
    )
