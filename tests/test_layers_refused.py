"""What no architecture may be: one line that names the place and the fix."""

import pytest

from bench.errors import ConfigError, ShapeError
from bench.layers import (
    ACTIVATIONS,
    Activation,
    AveragePool,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    MaxPool,
    Residual,
)
from bench.summary import check

KNOWN = ", ".join(sorted(ACTIVATIONS))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(0), "Conv features must be a whole number ≥ 1, got 0"),
        (lambda: Conv(2.5), "Conv features must be a whole number ≥ 1, got 2.5"),
        (lambda: Conv(1, (3, 0)), "Conv kernel must be a whole number ≥ 1, got 0"),
        (lambda: Conv(1, (3, 3, 3)), "Conv kernel must be a whole number ≥ 1, got (3, 3, 3)"),
        (lambda: Conv(1, stride=-1), "Conv stride must be a whole number ≥ 1, got -1"),
        (lambda: Conv(1, padding="VALD"), "unknown Conv padding 'VALD'; did you mean 'VALID'?"),
        (lambda: MaxPool(0), "MaxPool window must be a whole number ≥ 1, got 0"),
        (lambda: AveragePool(2, 0), "AveragePool stride must be a whole number ≥ 1, got 0"),
        (lambda: Dense("64"), "Dense units must be a whole number ≥ 1, got '64'"),
        (lambda: Activation("rleu"), "unknown Activation name 'rleu'; did you mean 'relu'?"),
        (lambda: Activation(()), f"unknown Activation name (); known: {KNOWN}"),
        (
            lambda: Activation(("relu", "tnah")),
            "unknown Activation name 'tnah'; did you mean 'tanh'?",
        ),
        (lambda: LayerNorm(0), "LayerNorm epsilon must be a finite number > 0, got 0"),
        (lambda: Blocks(()), "Blocks blocks must be a tuple of tuples of layers, got ()"),
        (lambda: Dropout(1), "Dropout rate must be a number in [0, 1), got 1"),
        (lambda: Dropout(-0.1), "Dropout rate must be a number in [0, 1), got -0.1"),
        (lambda: Dropout(float("nan")), "Dropout rate must be a number in [0, 1), got nan"),
        (lambda: Dropout("0.5"), "Dropout rate must be a number in [0, 1), got '0.5'"),
        (lambda: BatchNorm(momentum=1), "BatchNorm momentum must be a number in [0, 1), got 1"),
        (lambda: BatchNorm(epsilon=0), "BatchNorm epsilon must be a finite number > 0, got 0"),
        (lambda: GlobalPool("mean"), "unknown GlobalPool kind 'mean'; known: average, max"),
        (lambda: Branch(()), "Branch branches must be a tuple of tuples of layers, got ()"),
        (lambda: Residual(None), "Residual layers must be a tuple of layers, got None"),
    ],
)
def test_refuses_values(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


CONV, POOL = Conv(2, padding="VALID"), MaxPool()
GONE = "nothing is left of the image; use fewer pools, padding SAME or a larger image"


@pytest.mark.parametrize(
    ("net", "image", "message"),
    [
        ((CONV,), (2, 5, 1), f"layer 1 (Conv 2 3×3 VALID) does not fit 2×5×1: {GONE}"),
        ((POOL, POOL, POOL), (5, 5, 1), f"layer 3 (MaxPool 2×2 VALID) does not fit 1×1×1: {GONE}"),
        (
            (POOL, Branch(((), (Residual((MaxPool(2, 1), CONV)),)))),
            (6, 6, 3),
            f"layer 2.2.1.1.2 (Conv 2 3×3 VALID) does not fit 2×2×3: {GONE}",
        ),
        (
            (Flatten(), AveragePool(3, 2)),
            (4, 4, 1),
            (
                "layer 2 (AveragePool 3×3 stride 2×2 VALID) does not fit 16: it needs an image, "
                "height×width×channels; put it before Flatten"
            ),
        ),
        (
            (Conv(2), Dense(3)),
            (4, 4, 1),
            (
                "layer 2 (Dense 3) does not fit 4×4×2: it needs a flat input; "
                "put Flatten or GlobalPool before it"
            ),
        ),
        (
            (Flatten(), GlobalPool()),
            (4, 4, 1),
            (
                "layer 2 (GlobalPool average) does not fit 16: it needs an image, "
                "height×width×channels; put it before Flatten"
            ),
        ),
        (
            (Branch(((), (MaxPool(),))),),
            (4, 4, 1),
            (
                "layer 1 (Branch) does not fit 4×4×1: its branches put out 4×4×1 and 2×2×1, which "
                "differ in more than channels; use padding SAME and the same strides in all of them"
            ),
        ),
        (
            (Residual((Conv(2),)),),
            (4, 4, 1),
            (
                "layer 1 (Residual) does not fit 4×4×1: its layers put out 4×4×2, "
                "its shortcut 4×4×1; make them agree, say with a 1×1 Conv as shortcut"
            ),
        ),
        (
            (Flatten(), Dense(3)),
            (4, 4, 1),
            "the output is 3 where there are 10 classes; end with Dense 10",
        ),
        (
            (Conv(3),),
            (4, 4, 1),
            "the output is 4×4×3 where there are 10 classes; end with Flatten and Dense 10",
        ),
    ],
)
def test_says_where_it_does_not_fit(net, image, message):
    with pytest.raises(ShapeError) as error:
        check(net, image, classes=10)
    assert str(error.value) == message
    with pytest.raises(ShapeError, match=r"^trial 4f2a: (layer|the output)"):
        check(net, image, classes=10, trial="4f2a")


def test_check_passes_what_fits():
    check((Conv(2), GlobalPool(), Dense(10)), (4, 4, 1), classes=10, trial="4f2a")
