"""One layer and three on MNIST: learning rates, optimizers, batch sizes and zero weights, in one epoch.

    python -m bench.main --config=configs/mnist_mlp.py:one_layer --data_dir=DATA --keep=last
    python -m bench.main --config=configs/mnist_mlp.py:three_layers --data_dir=DATA

    :one_layer     784 → 10.               Reported: about 0.80
    :three_layers  784 → 500 → 500 → 10.   The log aimed at more than 0.95

Learning rates from 0.001 to 50, sgd, adagrad and adam, batches of 1, 10, 100 and 1000. A batch of 1
makes 54,000 updates an epoch; --plan_only shows what that costs, and --axis='batch_size=(10, 100, 1000)'
leaves it out. `init` is an axis: from zeros, one layer learns, and of three only the last bias does, for
a hidden unit that puts out 0 has no gradient. --curve_every=100 gives loss against iteration, in
losses.parquet: a row for every 100 steps of a trial. Rates that are too high diverge, which is a result.
--keep=last leaves every trial's weights in trials/, a column a class, to be drawn as 28×28 pictures. A
tenth of the training set is for validation.
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.experiments import chosen


def get_config(argument: str = "") -> ConfigDict:
    part, _ = chosen("configs/mnist_mlp.py", argument, PARTS)
    config = defaults()
    config.dataset = "mnist"
    config.data.valid_fraction = 0.1
    config.trial.update(model="mlp", epochs=1)
    config.space = {
        "optimizer": ("sgd", "adagrad", "adam"),
        "learning_rate": (0.001, 0.01, 0.1, 0.5, 1.0, 10.0, 50.0),
        "batch_size": (1, 10, 100, 1000),
        "init": ("glorot_uniform", "zeros"),
    }
    part(config)
    return config


def one_layer(config: ConfigDict) -> None:
    config.trial.update(dense_layers=0)


def three_layers(config: ConfigDict) -> None:
    config.trial.update(units=500, dense_layers=2)


PARTS = {f.__name__: f for f in (one_layer, three_layers)}
