"""Three shapes of a stack of filters on MNIST, as in a log of Keras Tuner: widening, narrowing, and both.

    python -m bench.main --config=configs/mnist_filters.py:regular --data_dir=DATA
    python -m bench.main --config=configs/mnist_filters.py:regular,batches --data_dir=DATA

Ten 3×3 SAME convolutions: three blocks of three with pools, and one more; a dense layer. 5 epochs, a
tenth of the training set for validation.

    :regular     8 9 10 · 20 21 22 · 44 45 46 · 160, dense 80.     Reported 0.9861 to 0.9901 for the best
                 three
    :inverted    80 75 70 · 55 50 45 · 25 20 15 · 10, dense 100.   Reported 0.9891
    :hourglass   30 31 32 · 60 65 60 · 32 31 30 · 25, dense 128.   Reported 0.9870

By itself a shape varies the filters of its tenth convolution, 50 to 100 in steps of 10, and the dense
layer, 20 to 100 in steps of 20: all 30, of which they drew 20 (--config.search.method=random
--config.search.trials=20). Behind a comma:

    wide       100 to 200 filters in steps of 20, dense 80
    rates      learning rate × optimizer
    batches    batch size × learning rate, five seeds (one, and fewer sizes, for the other two shapes):
               they tuned batch sizes in a loop of their own. Their conclusion that large batches prefer
               0.0001 is to be checked.

Their test losses of 3.8 to 17 cannot be compared, for their test pictures were not divided by 255; and
their 0.11 is a model that collapsed.
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.experiments import chosen

RATES = (0.01, 0.001, 0.0001)


def get_config(argument: str = "") -> ConfigDict:
    part, options = chosen("configs/mnist_filters.py", argument, PARTS, OPTIONS)
    config = defaults()
    config.dataset = "mnist"
    config.data.valid_fraction = 0.1
    config.trial.update(model="convnet", pool_every=3, init="glorot_uniform", epochs=5)
    config.trial.update(batch_size=32, optimizer="adam", learning_rate=0.001)
    config.space = {"last_filters": (50, 60, 70, 80, 90, 100), "hidden": (20, 40, 60, 80, 100)}
    part(config)
    for option in options:
        OPTIONS[option](config, argument.startswith("regular"))
    return config


def regular(config: ConfigDict) -> None:
    filters = (8, 9, 10, 20, 21, 22, 44, 45, 46)
    config.trial.update(filters=filters, last_filters=160, hidden=(80,))


def inverted(config: ConfigDict) -> None:
    filters = (80, 75, 70, 55, 50, 45, 25, 20, 15)
    config.trial.update(filters=filters, last_filters=10, hidden=(100,))


def hourglass(config: ConfigDict) -> None:
    filters = (30, 31, 32, 60, 65, 60, 32, 31, 30)
    config.trial.update(filters=filters, last_filters=25, hidden=(128,))


def wide(config: ConfigDict, all_sizes: bool) -> None:  # noqa: ARG001
    config.space = {"last_filters": (100, 120, 140, 160, 180, 200), "hidden": (80,)}


def rates(config: ConfigDict, all_sizes: bool) -> None:  # noqa: ARG001
    config.space = {"learning_rate": RATES, "optimizer": ("adam", "sgd", "rmsprop")}


def batches(config: ConfigDict, all_sizes: bool) -> None:
    config.space = {
        "batch_size": (64, 128, 256, 512, 1024) if all_sizes else (128, 512, 1024),
        "learning_rate": RATES,
        "seed": (0, 1, 2, 3, 4) if all_sizes else (0,),
    }


PARTS = {f.__name__: f for f in (regular, inverted, hourglass)}
OPTIONS = {f.__name__: f for f in (wide, rates, batches)}
