"""Five logs of CNNs tuned by hand: what each reported, as data, and the parts of their configs.

The configs are `configs/traffic.py`, `mnist_filters.py`, `fashion.py`, `mnist_mlp.py` and `classics.py`.
Who compares looks in a run for trials that have a figure's settings. Where a log does not say which of
its models a figure is of, the settings are empty: the best of the part stands beside it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

from bench.errors import ConfigError, nearest

Part = Callable[[ConfigDict], None]  # changes what `config.defaults()` gave


@dataclass(frozen=True)
class Reported:
    """A figure of a log.

    Attributes:
        config: what --config is for the run that holds our trials.
        model: in words.
        accuracy: on test examples, from 0 to 1.
        epochs: of training; None where the log does not say.
        settings: of our trials that are this model; {} where the log does not say which it was.
        test_examples: None where the log does not say.
        losses: other figures, by the name of the column that ours have.
        note: what must be known to compare.
    """

    config: str
    model: str
    accuracy: float
    epochs: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    test_examples: int | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def chosen(
    file: str,
    argument: str,
    parts: Mapping[str, Part],
    options: Collection[str] = (),
    sizes: bool = False,
) -> tuple[Part, tuple[str, ...]]:
    """The part of a config that its argument names, and what follows behind commas: "cnn,250".

    Args:
        file: the config's, for errors.
        argument: what stands behind the colon of --config.
        parts: by name.
        options: what may follow the name.
        sizes: whether a whole number may, too.

    Raises:
        ConfigError: another argument, or none.
    """
    name, *rest = argument.split(",")
    if not name:
        raise ConfigError(f"{file}: say which part: {', '.join(f':{part}' for part in parts)}")
    if name not in parts:
        raise ConfigError(f"{file} has no part {name!r}: {nearest(name, parts)}")
    allowed = [*options, *(["an image size"] if sizes else [])]
    for option in rest:
        if option not in options and not (sizes and option.isdecimal()):
            words = " or ".join(allowed) or "nothing"
            raise ConfigError(f"{file}:{name} takes {words} behind a comma, not {option!r}")
    return parts[name], tuple(rest)


_ASSUMED = "10 epochs are assumed"
_BY_ORDER = f"{_ASSUMED}; which of the two tapered models, by the order in which they are named"
_THREE = f"{_ASSUMED}; three classes"
_CLASSIC = "a private set of large gray pictures, 10 classes"
_UNSCALED = (
    "test pictures were not divided by 255 as the training pictures were: test losses of 3.8 to 17"
)


def _start(model: str, accuracy: float, note: str = _THREE, **settings: Any) -> Reported:
    return Reported("configs/traffic.py:start", model, accuracy, 10, settings, 336, note=note)


def _taper(model: str, accuracy: float, dense_layers: int) -> Reported:
    settings = {"dense_layers": dense_layers}
    return Reported("configs/traffic.py:taper", model, accuracy, 10, settings, note=_BY_ORDER)


def _filters(shape: str, accuracy: float, note: str = _UNSCALED) -> Reported:
    config = f"configs/mnist_filters.py:{shape}"
    return Reported(config, f"{shape}, the best", accuracy, 5, {}, 10_000, note=note)


def _classic(
    part: str, model: str, accuracy: float, epochs: int | None, **settings: Any
) -> Reported:
    return Reported(
        f"configs/classics.py:{part}", model, accuracy, epochs, settings, 66, note=_CLASSIC
    )


REPORTED: Mapping[str, tuple[Reported, ...]] = {
    "traffic": (
        _start("dense 128 and 10", 0.634, f"{_THREE}; one class throughout", hidden=(128, 10)),
        _start("other dense layers", 0.976),
        _start("other dense layers", 0.997),
        _start("five dense layers of 100", 1.000, hidden=(100,) * 5),
        _taper("2, 5, 300, 35", 0.967, 5),
        _taper("2, 4, 300, 35", 0.973, 4),
        Reported("configs/traffic.py:regularise", "dropout 0.4 after the filters", 0.975, 10,
                 {"filter_dropout": 0.4, "dropout": 0.0}, note=_ASSUMED),
        Reported("configs/traffic.py:regularise", "the best", 0.978, 10, note=_ASSUMED),
    ),
    "mnist_filters": (
        _filters("regular", 0.9901, f"the best three had 0.9861 to 0.9901; {_UNSCALED}"),
        _filters("inverted", 0.9891),
        _filters("hourglass", 0.9870),
    ),
    "fashion": (
        Reported("configs/fashion.py:baseline", "4 layers", 0.799, 3, {}, 10_000,
                 {"running_loss": 0.6459, "test_loss": 0.5893}, "called underfitting"),
        Reported("configs/fashion.py:baseline", "4 layers", 0.863, 20, {}, 10_000),
        Reported("configs/fashion.py:architecture", "one layer fewer", 0.904, 20, {"conv_layers": 2}, 10_000),
    ),
    "mnist_mlp": (
        Reported("configs/mnist_mlp.py:one_layer", "784, 10", 0.80, 1, {}, 10_000, note="about"),
        Reported("configs/mnist_mlp.py:three_layers", "784, 500, 500, 10", 0.95, 1, {}, 10_000,
                 note="what they aimed at"),
    ),
    "classics": (
        _classic("cnn", "own CNN", 0.697, None),
        _classic("cnn", "own CNN", 0.742, None),
        _classic("cnn", "own CNN", 0.742, 20),
        _classic("cnn", "own CNN, the best", 0.773, None),
        _classic("alexnet", "AlexNet", 0.409, 50, learning_rate=0.001),
        _classic("vgg19", "VGG19, collapsed: 10 of 66", 0.1515, 25, batch_norm=False),
        _classic("inception", "Inception in a row, collapsed: 10 of 66", 0.1515, None, paths="sequential",
                 batch_norm=False),
    ),
}  # fmt: skip
