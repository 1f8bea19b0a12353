"""Two grids over what shares a program only by padding, selecting and accumulating: for `benchmarks.plans`.

:digits   216 small nets, where compiling is dear
:mnist    16 nets of very different widths on a part of MNIST, where padding is dear
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.errors import ConfigError


def get_config(grid: str = "digits") -> ConfigDict:
    config = defaults()
    config.trial.learning_rate = 3e-3
    if grid == "digits":
        config.trial.epochs = 5
        config.space = {
            "features": (8, 16, 32),
            "units": (16, 32, 64, 128),
            "optimizer": ("adam", "sgd", "rmsprop"),
            "batch_size": (16, 32, 64),
            "dropout": (0.0, 0.3),
        }
    elif grid == "mnist":
        config.dataset = "mnist"
        config.data.limit = 6000
        config.trial.epochs = 1
        config.space = {
            "features": (8, 16, 32, 64),
            "units": (64, 256),
            "optimizer": ("adam", "sgd"),
        }
    else:
        raise ConfigError(f"benchmarks/grids.py has no {grid!r}: use :digits or :mnist")
    return config
