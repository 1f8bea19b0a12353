import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import zoo
from bench.errors import ConfigError, ShapeError
from bench.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Blocks,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    flat,
    inputs,
    output_shape,
    parameters,
)
from bench.outputs import SigmoidOutput
from bench.padding import fit, skeleton
from bench.summary import check, summary


def widths(layers) -> list[int]:
    return [layer.units for layer in flat(layers) if isinstance(layer, Dense)]


def test_stack_by_default():
    block = (Conv(16, 3, padding="SAME"), Activation("relu"), MaxPool(2))
    head = (Flatten(), Dropout(0), Dense(64), Activation("relu"), Dropout(0), Dense(10))
    assert flat(zoo.stack(10)) == (*block, *block, *head)


def test_stack_with_everything():
    net = zoo.stack(
        3,
        features=5,
        filter_repeats=1,
        kernel=4,
        padding="VALID",
        pool=3,
        pool_kind="average",
        units=8,
        dense_layers=2,
        taper=0.25,
        activation="tanh",
        batch_norm=True,
        filter_dropout=0.1,
        dropout=0.2,
    )
    assert flat(net) == (
        Conv(5, 4, padding="VALID"),
        BatchNorm(),
        Activation("tanh"),
        AveragePool(3),
        Flatten(),
        Dropout(0.1),
        Dense(8),
        Activation("tanh"),
        Dropout(0.2),
        Dense(4),
        Activation("tanh"),
        Dropout(0.2),
        Dense(3),
    )


def test_stack_of_little():
    assert zoo.stack(3, filter_repeats=0, dense_layers=0) == (Flatten(), Dropout(0), Dense(3))
    assert zoo.stack(3, filter_repeats=1, pool=1, dense_layers=0) == (
        Conv(16),
        Activation("relu"),
        Flatten(),
        Dropout(0),
        Dense(3),
    )


def test_the_published_table():
    net = zoo.stack(
        43,
        taper=8000 / 40000,
        dense_layers=5,
        units=300,
        features=35,
        filter_repeats=2,
        padding="VALID",
    )
    counted = [row.parameters for row in summary(net, (30, 30, 1)) if row.parameters]
    assert counted == [350, 11_060, 378_300, 65_317, 34_226, 17_854, 9_234, 3_526]
    check(net, (30, 30, 1), classes=43)


def test_mlp():
    head = (Dense(9), BatchNorm(), Activation("elu"), Dropout(0.5), Dense(4))
    net = zoo.mlp(4, units=9, activation="elu", batch_norm=True, dropout=0.5)
    assert flat(net) == (Flatten(), *head)
    assert zoo.mlp(4, dense_layers=0) == (Flatten(), Dense(4))
    assert parameters(zoo.mlp(4, units=9), (2, 2, 3)) == 13 * 9 + 10 * 4


def test_convnet_with_everything():
    net = zoo.convnet(
        3,
        filters=(4, 5),
        conv_layers=3,
        last_filters=9,
        kernels=(2, 3),
        paddings=("SAME", "VALID"),
        pool_every=2,
        hidden=(8, 6),
        activation="tanh",
        batch_norm=True,
        activation_dropout=0.1,
        filter_dropout=0.4,
        dropout=0.3,
        output="sigmoid",
    )
    act = (BatchNorm(), Activation("tanh"), Dropout(0.1))
    assert flat(net) == (
        *(Conv(4, 2, padding="SAME"), *act, Conv(5, 3, padding="VALID"), *act, MaxPool(2)),
        *(Conv(5, 3, padding="VALID"), *act, Conv(9, 3, padding="VALID"), *act),
        *(Flatten(), Dropout(0.4)),
        *(Dense(8), Activation("tanh"), Dropout(0.3), Dense(6), Activation("tanh"), Dropout(0.3)),
        *(Dense(3), SigmoidOutput()),
    )


def test_convnet_by_default_and_of_little():
    same = zoo.stack(4, features=32, filter_repeats=1, padding="SAME")
    assert zoo.convnet(4, filters=(32,)) == same
    assert flat(zoo.convnet(4, filters=(7,), pool=1, hidden=())) == (
        *(Conv(7), Activation("relu"), Flatten(), Dropout(0), Dense(4)),
    )
    pools = [sum(isinstance(layer, MaxPool) for layer in zoo.convnet(2, filters=(3,), conv_layers=10,
             most_pools=most)) for most in (0, 1, 3)]  # fmt: skip
    assert pools == [10, 1, 3]


def sides(layers, side) -> list[int]:
    """Pixels after each pool."""
    shapes = [(layer, layer.output_shape(s)) for layer, s in inputs(layers, (side, side, 1))]
    return [shape[0] for layer, shape in shapes if isinstance(layer, MaxPool)]


def test_each_layer_has_its_own_padding():
    """Fashion-MNIST: SAME, VALID, VALID leave 14, 6 and 2 pixels; one layer fewer leaves 6."""
    settings = {"filters": (64,), "paddings": ("SAME", "VALID", "VALID")}
    assert sides(zoo.convnet(10, conv_layers=3, **settings), 28) == [14, 6, 2]
    assert sides(zoo.convnet(10, conv_layers=2, **settings), 28) == [14, 6]
    with pytest.raises(ShapeError, match="nothing is left of the image; use fewer pools"):
        check(zoo.convnet(10, conv_layers=4, **settings), (28, 28, 1), classes=10)


REGULAR = (8, 9, 10, 20, 21, 22, 44, 45, 46)


def test_ten_convolutions_in_blocks():
    """MNIST: three blocks of three with pools, and one more; 239,145 parameters by the formula."""
    net = zoo.convnet(10, filters=REGULAR, last_filters=160, pool_every=3, hidden=(80,))
    convs = [layer for layer in net if isinstance(layer, Conv)]
    assert [layer.features for layer in convs] == [*REGULAR, 160]
    assert sides(net, 28) == [14, 7, 3]
    pairs = zip((1, *REGULAR), (*REGULAR, 160), strict=True)
    by_hand = sum((9 * before + 1) * after for before, after in pairs)
    assert parameters(net, (28, 28, 1)) == by_hand + (3 * 3 * 160 + 1) * 80 + 81 * 10 == 239_145


@pytest.mark.parametrize(
    ("depth", "published"), [(11, 132.9), (13, 133.0), (16, 138.4), (19, 143.7)]
)
def test_vgg_has_the_published_parameters(depth, published):
    """Millions, for ImageNet."""
    net = zoo.vgg(1000, depth=depth, features=64, units=4096)
    assert round(parameters(net, (224, 224, 3)) / 1e6, 1) == published
    assert sum(isinstance(layer, Conv | Dense) for layer in flat(net)) == depth


@pytest.mark.parametrize(
    ("units", "dense_layers", "taper", "expected"),
    [
        (300, 4, 1.0, [300, 300, 300, 300]),
        (1000, 3, 0.001, [1000, 100, 10]),  # 0.001 ** (1/3) is not quite 0.1
        (125, 3, 1 / 125, [125, 25, 5]),
        (3, 3, 1e-6, [3, 1, 1]),  # never less than one
        (5, 2, 4.0, [5, 10]),
        (7, 1, 0.5, [7]),
        (7, 0, 0.5, []),
    ],
)
def test_taper(units, dense_layers, taper, expected):
    settings = {"units": units, "dense_layers": dense_layers, "taper": taper}
    assert widths(zoo.mlp(2, **settings)) == [*expected, 2]
    assert widths(zoo.stack(2, **settings)) == [*expected, 2]


@settings(deadline=None, max_examples=100, database=None)
@given(st.integers(1, 5000), st.integers(1, 12))
def test_taper_of_one_keeps_the_width(units, dense_layers):
    assert widths(zoo.mlp(2, units=units, dense_layers=dense_layers)) == [units] * dense_layers + [
        2
    ]


def test_dropout_rates_share_a_program():
    nets = [
        zoo.stack(5, dense_layers=2, filter_dropout=a, dropout=b) for a, b in [(0, 0), (0.1, 0.2)]
    ]
    assert skeleton(nets[0]) == skeleton(nets[1])
    # Rate and number of each dropout; the blocks are counted where they begin.
    assert fit(nets[1], nets[1], (8, 8, 1)).values.tolist() == [0.1, 0, 2, 0.2, 1, 0.2, 2]


def test_dense_layers_are_blocks():
    """So that programs may hold several depths; none at all is another architecture."""
    block = (Dense(6), Activation("relu"), Dropout(0))
    assert zoo.mlp(3, units=6, dense_layers=2) == (Flatten(), Blocks((block, block)), Dense(3))
    assert zoo.stack(3, units=6)[-2:] == (Blocks((block,)), Dense(3))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_what_shares_a_program(name):
    """Widths, activations, rates and the number of dense layers do; all else is structure."""
    plain, own = skeleton(zoo.build(name, {"dense_layers": 2}, 3)), zoo.hyperparameters(name)
    shared = {"units": 5, "dense_layers": 4, "taper": 0.5, "activation": "tanh", "dropout": 0.3,
              "features": 3, "filter_dropout": 0.2, "filters": (3, 9), "hidden": (3, 4)}  # fmt: skip
    apart = {"batch_norm": True, "filter_repeats": 1, "kernel": 5, "padding": "VALID", "pool": 3,
             "pool_kind": "average", "depth": 13, "conv_layers": 3, "last_filters": 4, "most_pools": 1,
             "kernels": (3, 2), "paddings": ("VALID", "SAME"), "pool_every": 2, "activation_dropout": 0.1,
             "output": "sigmoid", "modules": 3, "paths": "sequential", "stage_blocks": 2}  # fmt: skip
    assert set(own) <= {*shared, *apart}
    for hyperparameter in own:
        both = {"dense_layers": 2, hyperparameter: (shared | apart)[hyperparameter]}
        assert (skeleton(zoo.build(name, both, 3)) == plain) == (hyperparameter in shared)
    for none in ({"dense_layers": 0}, {"hidden": ()}):
        if set(none) <= set(own):
            assert skeleton(zoo.build(name, none, 3)) != plain


def test_hyperparameters():
    assert zoo.hyperparameters("mlp") == {
        "units": 64,
        "dense_layers": 1,
        "taper": 1.0,
        "activation": "relu",
        "batch_norm": False,
        "dropout": 0.0,
    }
    assert list(zoo.hyperparameters("stack"))[:3] == ["features", "filter_repeats", "kernel"]
    for name, model in zoo.MODELS.items():
        assert model(3, **zoo.hyperparameters(name)) == model(3)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_models_fit_a_usual_image(name):
    assert output_shape(zoo.build(name, {}, 10), (28, 28, 1)) == (10,)


def test_build_takes_the_models_own():
    given = {"units": 9, "features": 7, "learning_rate": 0.1}
    assert zoo.build("mlp", given, 4) == zoo.mlp(4, units=9)
    assert zoo.build("stack", given, 4) == zoo.stack(4, units=9, features=7)


def test_a_model_from_elsewhere(monkeypatch):
    monkeypatch.setitem(zoo.MODELS, "wide", None)  # so that it is taken away afterwards

    @zoo.model
    def wide(classes, *, units=5, scale=2):
        return (Flatten(), Dense(units * scale), Dense(classes))

    assert zoo.hyperparameters("wide") == {"units": 5, "scale": 2}
    assert widths(zoo.build("wide", {"scale": 3}, 2)) == [15, 2]
    with pytest.raises(ConfigError, match="units"):
        wide(2, units=0)


def test_needs_no_jax():
    code = "import sys, bench.zoo, bench.summary; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
