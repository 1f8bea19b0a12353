"""64 small CNNs on scikit-learn's handwritten digits, which need no download.

    ./run.sh                          all 64, about half a minute on 2 cores; expect ≥ 98 % test accuracy
    ./run.sh --config=configs/sweep.py:smoke     a cut of it for tests: 2 epochs, seconds

Two blocks of a 3×3 convolution and a 2×2 max-pool, a dense layer, dropout, ten logits.
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.errors import ConfigError


def get_config(cut: str = "") -> ConfigDict:
    config = defaults()
    config.dataset = "digits"
    config.trial.update(model="stack", filter_repeats=2, kernel=3, padding="SAME", pool=2)
    config.trial.update(dense_layers=1, schedule="cosine", epochs=15, seed=0)
    config.space = {
        "learning_rate": (4e-3, 8e-3),
        "optimizer": ("adam", "rmsprop"),
        "batch_size": (32, 64),
        "features": (12, 24),
        "units": (32, 64),
        "dropout": (0.0, 0.3),
    }
    if cut == "smoke":
        config.trial.epochs = 2
        config.data.limit = 400
        config.space = {
            "learning_rate": (1e-3, 4e-3),
            "optimizer": ("adam", "sgd"),
            "batch_size": (32, 64),
            "features": (4, 8),
        }
    elif cut:
        raise ConfigError(f"configs/sweep.py has no {cut!r}: use :smoke, or nothing for all of it")
    return config
