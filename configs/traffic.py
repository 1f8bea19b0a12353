"""Traffic signs, as in CS50's project on GTSRB: how many dense layers, how wide, and how regularised?

    python -m bench.main --config=configs/traffic.py:grid --data_dir=DATA
    python -m bench.main --config=configs/traffic.py:taper,track --data_dir=DATA

All: 30×30 gray, 40 % of the pictures for testing, a tenth of the rest for validation, batches of 32,
adam at 0.001, 10 epochs unless said; curves.parquet has the third epoch too, by which the log ranked its
models. The log split pictures at random, so that frames of one physical sign stood on both sides;
`,track` splits by sign.

    :start       gtsrb3, of which 336 pictures test: one is 0.003. Two convolutions of 10 with pools,
                 then dense layers of twelve kinds: 128 and 10, without either, one of 150, 500 or 1000,
                 several of 500 or 100. Reported: 0.634 (one class throughout), 0.976, 0.997; 1.000 for
                 five of 100. Asked: which of these differ by more than a few pictures, and in how many
                 of five seeds?
    :grid        43 classes from here on, 3 epochs, one seed: filter_repeats × dense_layers × units ×
                 features. Asked: loss, accuracy and ms/step of each.
    :taper       2 convolutions of 35, then 4 or 5 dense layers from 300 units on, tapered by 8000/40000
                 in all. Reported: 0.967 and 0.973. Asked: do they differ over five seeds?
    :regularise  the second of these or 300, 128; dropout 0.3 after each dense layer; 0.4 after the
                 filters; 50 filters: all combinations. Reported: 0.975 with dropout after the filters,
                 0.978 for the best.
    :color       :taper in colour.
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.experiments import chosen

SEEDS = (0, 1, 2, 3, 4)
TAPERED = (300, 217, 157, 113, 81)  # five layers by that taper


def get_config(argument: str = "") -> ConfigDict:
    part, options = chosen("configs/traffic.py", argument, PARTS, ("track",))
    config = defaults()
    config.dataset = "gtsrb"
    config.data.update(image_size=30, color="gray", test_fraction=0.4, valid_fraction=0.1)
    config.data.split = "group" if "track" in options else "random"
    config.trial.update(batch_size=32, optimizer="adam", learning_rate=0.001, epochs=10)
    config.trial.update(init="glorot_uniform", padding="VALID", paddings=("VALID",))
    part(config)
    return config


def start(config: ConfigDict) -> None:
    config.dataset = "gtsrb3"
    config.trial.update(model="convnet", filters=(10, 10))
    config.space = {
        "hidden": (
            *((128, 10), (128,), (10,), (), (150,), (500,), (1000,)),
            *((500,) * 3, (500,) * 4, (500,) * 6, (100,) * 5, (100,) * 6),
        ),
        "seed": SEEDS,
    }


def grid(config: ConfigDict) -> None:
    config.trial.update(model="stack", epochs=3)
    config.space = {
        "filter_repeats": (1, 2, 3),
        "dense_layers": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        "units": (75, 150, 300, 600),
        "features": (10, 20, 35, 50),
    }


def taper(config: ConfigDict) -> None:
    config.trial.update(model="stack", features=35, filter_repeats=2, units=300, taper=8000 / 40000)
    config.space = {"dense_layers": (4, 5), "seed": SEEDS}


def regularise(config: ConfigDict) -> None:
    config.trial.update(model="convnet")
    config.space = {
        "hidden": (TAPERED, (300, 128)),
        "filters": ((35, 35), (50, 50)),
        "dropout": (0.0, 0.3),
        "filter_dropout": (0.0, 0.4),
        "seed": SEEDS,
    }


def color(config: ConfigDict) -> None:
    taper(config)
    config.data.color = "rgb"


PARTS = {f.__name__: f for f in (start, grid, taper, regularise, color)}
