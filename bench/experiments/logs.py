"""The five logs as data: figures that they reported, and what they concluded, as questions to our runs."""

from dataclasses import dataclass
from typing import Any

from bench.experiments.pictures import (
    ClassWeights,
    Curves,
    HeatMap,
    Iterations,
    Picture,
    Regression,
)
from bench.experiments.questions import (
    Better,
    Collapses,
    Prefers,
    Question,
    Ranking,
    RunningMean,
)
from bench.experiments.reported import Reported
from bench.experiments.runs import Side


@dataclass(frozen=True)
class Log:
    """A public log of experiments.

    Attributes:
        config: the file of ours in configs/ that trains it again.
        title: what it is of.
        about: what was done, and what must be known to compare.
        reported: figures, of which the log gives no more than one run each.
        questions: what it concluded, and what one would ask of it.
        pictures: of runs of its parts.
    """

    config: str
    title: str
    about: str
    reported: tuple[Reported, ...]
    questions: tuple[Question, ...]
    pictures: tuple[Picture, ...] = ()


def _sides(config: str, name: str, worse: Any, better: Any, **settings: Any) -> tuple[Side, Side]:
    """Of one part: trials with the one value, and those with the other, with the same settings else."""
    return Side(config, {name: worse, **settings}), Side(config, {name: better, **settings})


_ASSUMED = "10 epochs are assumed"
_BY_ORDER = f"{_ASSUMED}; which of the two tapered models, by the order in which they are named"
_START, _TAPER, _REGULARISE = "traffic.py:start", "traffic.py:taper", "traffic.py:regularise"
_GRID = "traffic.py:grid"
_TAPERED, _TWO = (300, 217, 157, 113, 81), (300, 128)
_ZERO = {"init": "zeros"}


def _start(model: str, accuracy: float, note: str = "", **settings: Any) -> Reported:
    note = "; ".join(filter(None, (_ASSUMED, "three classes", note)))
    return Reported(_START, model, accuracy, 10, settings, 336, note=note)


TRAFFIC = Log(
    "traffic.py",
    "Traffic signs (GTSRB, as in CS50's project): how many dense layers, how wide, how regularised?",
    "30×30 pixels, 40 % of the pictures for testing, batches of 32, Adam. The log split pictures at random, "
    "so that frames of one physical sign stood on both sides; `,track` splits by sign. Its figures of three "
    "classes are of 336 test pictures: one is 0.3 points.",
    (
        _start("dense 128 and 10", 0.634, "one class throughout", hidden=(128, 10)),
        _start("other dense layers", 0.976),
        _start("other dense layers", 0.997),
        _start("five dense layers of 100", 1.000, hidden=(100,) * 5),
        Reported(_TAPER, "2, 5, 300, 35", 0.967, 10, {"dense_layers": 5}, note=_BY_ORDER),
        Reported(_TAPER, "2, 4, 300, 35", 0.973, 10, {"dense_layers": 4}, note=_BY_ORDER),
        Reported(_REGULARISE, "dropout 0.4 after the filters", 0.975, 10,
                 {"filter_dropout": 0.4, "dropout": 0.0}, note=_ASSUMED),
        Reported(_REGULARISE, "the best", 0.978, 10, note=_ASSUMED),
    ),
    (
        Collapses("128 and 10 dense units end with one class throughout (0.634)",
                  Side(_START, {"hidden": (128, 10)})),
        Better("five dense layers of 100 are better than one of 128 (1.000)",
               *_sides(_START, "hidden", (128,), (100,) * 5)),
        Better("four tapered layers are better than five (0.973, 0.967)",
               *_sides(_TAPER, "dense_layers", 5, 4)),
        Better("the same, split by sign", *_sides(f"{_TAPER},track", "dense_layers", 5, 4)),
        Better("dropout 0.4 after the filters helps two dense layers (300, 128)",
               *_sides(_REGULARISE, "filter_dropout", 0.0, 0.4, hidden=_TWO)),
        Better("the same, of five tapered ones",
               *_sides(_REGULARISE, "filter_dropout", 0.0, 0.4, hidden=_TAPERED)),
        Better("dropout 0.3 after each dense layer helps two of them",
               *_sides(_REGULARISE, "dropout", 0.0, 0.3, hidden=_TWO)),
        Better("the same, of five tapered ones", *_sides(_REGULARISE, "dropout", 0.0, 0.3, hidden=_TAPERED)),
        Better("two dense layers (300, 128) are better than five tapered ones",
               *_sides(_REGULARISE, "hidden", _TAPERED, _TWO)),
        Better("50 filters are better than 35",
               *_sides(_REGULARISE, "filters", (35, 35), (50, 50))),
        Better("colour is better than gray", Side(_TAPER), Side("traffic.py:color")),
        Better("a random split overstates accuracy on signs never seen",
               Side(f"{_TAPER},track"), Side(_TAPER)),
        Ranking("models rank after 3 epochs as after 10", Side(_REGULARISE), 3),
        Ranking("the same, of the first models", Side(_START), 3),
    ),
    (
        HeatMap(_GRID, "units", "dense_layers"),
        HeatMap(_GRID, "features", "filter_repeats"),
        Regression(_GRID, "units", log=True),
        Regression(_GRID, "dense_layers"),
        Regression(_GRID, "features", log=True),
        Regression(_GRID, "parameters", log=True),
    ),
)  # fmt: skip

_UNSCALED = (
    "test pictures were not divided by 255 as the training pictures were: test losses of 3.8 to 17"
)


def _filters(shape: str, accuracy: float, note: str = _UNSCALED) -> Reported:
    return Reported(
        f"mnist_filters.py:{shape}", f"{shape}, the best", accuracy, 5, {}, 10_000, note=note
    )


FILTERS = Log(
    "mnist_filters.py",
    "Three shapes of ten convolutions on MNIST (Keras Tuner)",
    "Ten 3×3 convolutions in three blocks with pools and one more: widening, narrowing, and both. The log's "
    "test losses cannot be compared with ours, since its test pictures were not divided by 255 (its "
    "accuracies suffer from that too), and its accuracies of 0.11 are of models that collapsed.",
    (
        _filters("regular", 0.9901, f"the best three had 0.9861 to 0.9901; {_UNSCALED}"),
        _filters("inverted", 0.9891),
        _filters("hourglass", 0.9870),
    ),
    (
        Prefers("large batches prefer a learning rate of 0.0001", Side("mnist_filters.py:regular,batches"),
                "batch_size", "learning_rate", {512: 0.0001, 1024: 0.0001}),
        Better("100 units behind them are better than 20",
               *_sides("mnist_filters.py:regular", "hidden", (20,), (100,))),
        Better("100 filters in the tenth convolution are better than 50",
               *_sides("mnist_filters.py:regular", "last_filters", 50, 100)),
    ),
    (
        HeatMap("mnist_filters.py:regular", "last_filters", "hidden"),
        HeatMap("mnist_filters.py:regular,batches", "batch_size", "learning_rate"),
        HeatMap("mnist_filters.py:regular,rates", "optimizer", "learning_rate"),
    ),
)  # fmt: skip

_WIDTH = "fashion.py:architecture"

FASHION = Log(
    "fashion.py",
    "Width and depth on Fashion-MNIST (Hyperopt, MLflow)",
    "Equal convolutions with pools, a dense layer of 64, Adam at 0.001, batches of 64. The log's baseline "
    "has three convolutions, SAME, VALID and VALID, which leave 14, 6 and 2 pixels.",
    (
        Reported(_WIDTH, "4 layers", 0.799, 3, {"conv_layers": 3}, 10_000,
                 {"running_loss": 0.6459, "test_loss": 0.5893}, "called underfitting"),
        Reported(_WIDTH, "4 layers", 0.863, 20, {"conv_layers": 3}, 10_000),
        Reported(_WIDTH, "one layer fewer, 6×6 pixels at its end", 0.904, 20, {"conv_layers": 2}, 10_000),
        Reported("fashion.py:search", "the best of the search", 0.904, None, {}, 10_000,
                 note="the log's best figure, of 20 epochs"),
    ),
    (
        RunningMean("its \"underfitting\" after 3 epochs is the running mean of the training loss",
                    Side(_WIDTH, {"conv_layers": 3}), 3),
        Better("one layer fewer is better (0.904, 0.863)", *_sides(_WIDTH, "conv_layers", 3, 2)),
        Better("batch norm before the activation helps",
               *_sides("fashion.py:regularise", "batch_norm", False, True)),
        Better("dropout in the dense part helps", *_sides("fashion.py:regularise", "dropout", 0.0, 0.3)),
        Better("dropout after activations helps",
               *_sides("fashion.py:regularise", "activation_dropout", 0.0, 0.2)),
        Better("adamw is better than adam", *_sides("fashion.py:optimizer", "optimizer", "adam", "adamw")),
    ),
    (
        Curves(_WIDTH, "conv_layers"),
        Regression("fashion.py:search", "conv_layers"),
        Regression("fashion.py:search", "filters", log=True),
    ),
)  # fmt: skip

MLP = Log(
    "mnist_mlp.py",
    "One layer and three on MNIST",
    "784 → 10, and 784 → 500 → 500 → 10, one epoch. The first is reported, the second is what it aimed at.",
    (
        Reported("mnist_mlp.py:one_layer", "784, 10", 0.80, 1, {}, 10_000, note="about"),
        Reported("mnist_mlp.py:three_layers", "784, 500, 500, 10", 0.95, 1, {}, 10_000,
                 note="what they aimed at"),
    ),
    (
        Collapses("from zeros, hidden layers do not learn: three layers end with one class throughout",
                  Side("mnist_mlp.py:three_layers", _ZERO)),
        Collapses("one layer from zeros does not learn either", Side("mnist_mlp.py:one_layer", _ZERO)),
    ),
    (
        HeatMap("mnist_mlp.py:one_layer", "learning_rate", "batch_size"),
        *(Iterations("mnist_mlp.py:one_layer", "learning_rate",
                     {"optimizer": optimizer, "batch_size": 10, "init": "glorot_uniform"})
          for optimizer in ("sgd", "adagrad", "adam")),
        ClassWeights("mnist_mlp.py:one_layer"),
        HeatMap("mnist_mlp.py:three_layers", "learning_rate", "batch_size"),
    ),
)  # fmt: skip

_FEW = "a private set of large gray pictures, 10 classes"


def _classic(
    part: str,
    model: str,
    accuracy: float,
    epochs: int | None,
    collapsed: bool = False,
    **settings: Any,
) -> Reported:
    config = f"classics.py:{part}"
    return Reported(config, model, accuracy, epochs, settings, 66, note=_FEW, collapsed=collapsed)


CLASSICS = Log(
    "classics.py",
    "Classic architectures on few gray pictures",
    "The log's set of 250×250 pictures is private; 66 of them tested, one of which is 1.5 points. Ours are "
    "ten classes of GTSRB, 660 pictures of which 66 test, enlarged from 32×32 to 64×64 where the command "
    "says nothing else: accuracies cannot be held against each other, only what is concluded from them.",
    (
        _classic("cnn", "own CNN", 0.697, None),
        _classic("cnn", "own CNN", 0.742, 20),
        _classic("cnn", "own CNN, the best", 0.773, None),
        _classic("alexnet", "AlexNet", 0.409, 50, learning_rate=0.001),
        _classic("vgg19", "VGG19, collapsed: 10 of 66", 0.1515, 25, True, batch_norm=False),
        _classic("inception", "Inception in a row, collapsed: 10 of 66", 0.1515, None, True,
                 paths="sequential", batch_norm=False),
    ),
    (
        Better("sigmoids at the output are worse than a softmax",
               *_sides("classics.py:cnn", "output", "sigmoid", "softmax")),
        Better("one convolution more is better",
               *_sides("classics.py:cnn", "filters", (250, 64, 32), (250, 64, 32, 32))),
        Better("AlexNet learns better at 0.01 than at 0.001",
               *_sides("classics.py:alexnet", "learning_rate", 0.001, 0.01)),
        Collapses("VGG19 without batch norm collapses", Side("classics.py:vgg19", {"batch_norm": False})),
        Better("batch norm mends it", *_sides("classics.py:vgg19", "batch_norm", False, True)),
        Collapses("Inception read in a row collapses",
                  Side("classics.py:inception", {"paths": "sequential", "batch_norm": False})),
        Better("parallel paths are better than a row",
               *_sides("classics.py:inception", "paths", "sequential", "parallel")),
        Better("batch norm helps Inception", *_sides("classics.py:inception", "batch_norm", False, True)),
    ),
)  # fmt: skip

LOGS = (TRAFFIC, FILTERS, FASHION, MLP, CLASSICS)
