"""What no model may be asked for: one line that names the place and the fix."""

import pytest

from bench import zoo
from bench.errors import ConfigError, ShapeError
from bench.summary import check


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 0}, "features must be a whole number ≥ 1, got 0"),
        ({"features": (16, 32)}, "features must be a whole number ≥ 1, got (16, 32)"),
        ({"filter_repeats": -1}, "filter_repeats must be a whole number ≥ 0, got -1"),
        ({"kernel": 2.5}, "kernel must be a whole number ≥ 1, got 2.5"),
        ({"padding": "VALD"}, "unknown padding 'VALD'; did you mean 'VALID'?"),
        ({"pool": 0}, "pool must be a whole number ≥ 1, got 0"),
        ({"pool_kind": "mean"}, "unknown pool_kind 'mean'; known: average, max"),
        ({"units": "many"}, "units must be a whole number ≥ 1, got 'many'"),
        ({"dense_layers": -1}, "dense_layers must be a whole number ≥ 0, got -1"),
        ({"taper": 0}, "taper must be a finite number > 0, got 0"),
        ({"taper": float("inf")}, "taper must be a finite number > 0, got inf"),
        ({"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'?"),
        ({"batch_norm": "yes"}, "unknown batch_norm 'yes'; known: False, True"),
        ({"filter_dropout": 1.0}, "filter_dropout must be a number in [0, 1), got 1.0"),
        ({"dropout": -0.5}, "dropout must be a number in [0, 1), got -0.5"),
        ({"model": "vgg", "depth": 12}, "unknown depth 12; known: 11, 13, 16, 19"),
        (
            {"model": "inception", "modules": 10},
            "modules must be a whole number from 1 to 9, got 10",
        ),
        (
            {"model": "inception", "paths": "row"},
            "unknown paths 'row'; known: parallel, sequential",
        ),
        ({"model": "resnet", "stage_blocks": 0}, "stage_blocks must be a whole number ≥ 1, got 0"),
        (
            {"model": "convnet", "filters": ()},
            "filters must be one or more whole numbers ≥ 1, got ()",
        ),
        (
            {"model": "convnet", "kernels": (3, 0)},
            "kernels must be one or more whole numbers ≥ 1, got (3, 0)",
        ),
        ({"model": "convnet", "hidden": 5}, "hidden must be whole numbers ≥ 1, or (), got 5"),
        (
            {"model": "convnet", "paddings": ("SAME", "VALD")},
            "unknown paddings 'VALD'; did you mean 'VALID'?",
        ),
        (
            {"model": "convnet", "output": "sigmod"},
            "unknown output 'sigmod'; did you mean 'sigmoid'?",
        ),
        (
            {"model": "convnet", "last_filters": -1},
            "last_filters must be a whole number ≥ 0, got -1",
        ),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ConfigError) as error:
        zoo.build(settings.get("model", "stack"), settings, 10)
    assert str(error.value) == message


def test_refuses_models_and_classes():
    with pytest.raises(ConfigError, match="unknown model 'stak'; did you mean 'stack'"):
        zoo.hyperparameters("stak")
    with pytest.raises(
        ConfigError, match="unknown model 'unet9'; known: alexnet, convnet, inception, mlp"
    ):
        zoo.build("unet9", {}, 10)
    with pytest.raises(ConfigError, match="classes must be a whole number ≥ 1, got 0"):
        zoo.mlp(0)


def test_too_many_pools():
    net = zoo.stack(10, filter_repeats=5)
    with pytest.raises(ShapeError, match=r"layer 15 \(MaxPool 2×2 VALID\) does not fit 1×1×16"):
        check(net, (28, 28, 1), classes=10)
