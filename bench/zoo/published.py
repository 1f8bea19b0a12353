"""Architectures of papers, at widths of your choosing."""

from itertools import chain

from bench.layers import (
    Activation,
    BatchNorm,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layers,
    MaxPool,
    Residual,
)
from bench.zoo.dense import head, tapered
from bench.zoo.registry import model

# Convolutions in each block of configurations A, B, D and E, by layers with weights.
_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

# GoogLeNet's modules 3a to 5b: filters of the 1×1; before the 3×3, and of it; before the 5×5, and of it;
# behind the pool.
_INCEPTION = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64)),
    *((160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64)),
    *((256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
_POOLED_AFTER = (2, 7)  # of those modules


@model
def alexnet(
    classes: int,
    *,
    features: int = 24,
    padding: str = "SAME",
    units: int = 256,
    dense_layers: int = 2,
    taper: float = 1.0,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Layers:
    """AlexNet's layers at other widths: an 11×11 convolution of stride 4, a 5×5 one and three of 3×3.

    `features` is the first width; those after it are 8/3, 4, 4 and 8/3 times as wide. Pools of 3×3 and
    stride 2 follow the first, the second and the last convolution. `padding` is that of the first convolution
    and of the pools: VALID as published, for which an image needs 67 pixels; SAME for small ones. The other
    convolutions are SAME. The dense layers are those of `stack`. There are neither the local normalisation
    nor the two groups that the paper had.

    Source: Krizhevsky, Sutskever, Hinton, 2012: 96 features, two dense layers of 4096 units, dropout 0.5.
    """
    norm = (BatchNorm(),) if batch_norm else ()

    def conv(width: int, kernel: int, stride: int = 1, padding: str = "SAME") -> Layers:
        own = Conv(width, (kernel, kernel), (stride, stride), padding)
        return own, *norm, Activation(activation)

    pool = MaxPool((3, 3), (2, 2), padding)
    middle, wide = 8 * features // 3, 4 * features
    widths = tapered(units, dense_layers, taper)
    return (
        *(*conv(features, 11, 4, padding), pool, *conv(middle, 5), pool),
        *(*conv(wide, 3), *conv(wide, 3), *conv(middle, 3), pool),
        Flatten(),
        *head(classes, widths, activation=activation, dropout=dropout),
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
    widths = tapered(units, dense_layers, taper)
    return *blocks, Flatten(), *head(classes, widths, activation=activation, dropout=dropout)


@model
def inception(
    classes: int,
    *,
    features: int = 64,
    modules: int = 9,
    paths: str = "parallel",
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Layers:
    """GoogLeNet's layers at other widths: a stem, `modules` inception modules, a mean of pixels, logits.

    A module has four paths: 1×1; 1×1 and 3×3; 1×1 and 5×5; a 3×3 pool and 1×1. With `paths` "parallel" all of
    them see its input and are concatenated, as published; "sequential" puts the same layers in one row, as
    one who reads the paper's table from left to right might. `features` is the width of the stem, and all
    others are in proportion. All padding is SAME. There are neither auxiliary classifiers nor local
    normalisation.

    Source: Szegedy et al., CVPR 2015, Table 1: 64 features, 9 modules, dropout 0.4.
    """
    norm = (BatchNorm(),) if batch_norm else ()

    def conv(width: int, kernel: int, stride: int = 1) -> Layers:
        own = Conv(max(1, width * features // 64), (kernel, kernel), (stride, stride))
        return own, *norm, Activation(activation)

    shrink, keep = MaxPool((3, 3), (2, 2), "SAME"), MaxPool((3, 3), (1, 1), "SAME")
    layers: Layers = (*conv(64, 7, 2), shrink, *conv(64, 1), *conv(192, 3), shrink)
    for number, (one, reduced3, three, reduced5, five, pooled) in enumerate(
        _INCEPTION[:modules], 1
    ):
        sides = (
            *(conv(one, 1), (*conv(reduced3, 1), *conv(three, 3))),
            *((*conv(reduced5, 1), *conv(five, 5)), (keep, *conv(pooled, 1))),
        )
        layers += (Branch(sides),) if paths == "parallel" else tuple(chain.from_iterable(sides))
        layers += (shrink,) if number in _POOLED_AFTER and number < modules else ()
    return *layers, GlobalPool(), Dropout(dropout), Dense(classes)


@model
def resnet(
    classes: int,
    *,
    features: int = 16,
    stage_blocks: int = 3,
    activation: str = "relu",
    dropout: float = 0.0,
) -> Layers:
    """A residual network for small images: three stages of blocks, 6 · `stage_blocks` + 2 layers.

    A block is the sum of its input and of two 3×3 convolutions with batch norm, with an activation behind the
    first and behind the sum. The stages have `features`, twice and four times as many. The second and the
    third begin with stride 2, where a 1×1 convolution with batch norm stands in for the input (the paper's
    option B). Then the mean of all pixels, dropout and the logits. Convolutions have no bias, for batch norm
    has one.

    Source: He et al., CVPR 2016, section 4.2: 16 features; 3 blocks a stage make ResNet-20.
    """

    def conv(width: int, kernel: int, stride: int) -> Layers:
        return Conv(width, (kernel, kernel), (stride, stride), bias=False), BatchNorm()

    act = Activation(activation)
    layers: Layers = (*conv(features, 3, 1), act)
    for stage in range(3):
        width = features * 2**stage
        for block in range(stage_blocks):
            stride = 2 if stage and not block else 1
            shortcut = conv(width, 1, stride) if stride > 1 else ()
            inner = (*conv(width, 3, stride), act, *conv(width, 3, 1))
            layers += (Residual(inner, shortcut), act)
    return *layers, GlobalPool(), Dropout(dropout), Dense(classes)
