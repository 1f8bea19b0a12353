"""Width and depth on Fashion-MNIST, as in a log of Hyperopt and MLflow.

    python -m bench.main --config=configs/fashion.py:search --data_dir=DATA

Equal convolutions with 2×2 pools behind them, a dense layer of 64; adam at 0.001, batches of 64, a tenth
of the training set for validation.

    :search        30 at random: filters 16 to 128 in steps of 8, kernels of 2 to 5, 1 to 10
                   convolutions, 3 epochs. So that every drawn depth leaves something of the image,
                   padding is SAME and only the first three convolutions have a pool (28, 14, 7, 3).
                   --config.trial.most_pools=0 gives all of them one, and a depth above 4 is then refused
                   before anything is trained, with the layer that has nothing left.
    :baseline      64 and 88 filters, SAME, VALID and VALID, which leave 14, 6 and 2 pixels: with the
                   dense layer the log's four. Five seeds. Reported: 0.799 after 3 epochs, which is in
                   the curves, 0.863 after 20. Asked: is "underfitting" (a training loss of 0.6459
                   against 0.5893 on test data) more than a running mean, which begins before the net has
                   learnt? train_loss is taken after the epoch, without dropout.
    :architecture  one convolution fewer, 6×6 before the dense layer, beside the baseline, 64 filters, 20
                   epochs, five seeds. Reported: 0.904. Asked: is it the pixels that are left?
    :regularise    that with batch norm before the activation, dropout in the dense part, dropout after
                   activations: all combinations, five seeds.
    :optimizer     that with adam and adamw × learning rate × weight decay (with adam it is L2
                   regularisation).
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.experiments import chosen
from bench.space import quniform

SEEDS = (0, 1, 2, 3, 4)


def get_config(argument: str = "") -> ConfigDict:
    part, _ = chosen("configs/fashion.py", argument, PARTS)
    config = defaults()
    config.dataset = "fashion_mnist"
    config.data.valid_fraction = 0.1
    config.trial.update(model="convnet", hidden=(64,), paddings=("SAME", "VALID", "VALID"))
    config.trial.update(batch_size=64, optimizer="adam", learning_rate=0.001, epochs=20)
    config.trial.update(filters=(64,), conv_layers=2, init="glorot_uniform")
    part(config)
    return config


def search(config: ConfigDict) -> None:
    config.trial.update(paddings=("SAME",), most_pools=3, epochs=3)
    config.search.update(method="random", trials=30)
    # Texts, as --axis takes them: a config holds no distribution.
    config.space = {
        "filters": str(quniform(16, 128, 8)),
        "kernels": str(quniform(2, 5, 1)),
        "conv_layers": str(quniform(1, 10, 1)),
    }


def baseline(config: ConfigDict) -> None:
    config.trial.update(conv_layers=3)
    config.space = {"filters": (64, 88), "seed": SEEDS}


def architecture(config: ConfigDict) -> None:
    config.space = {"conv_layers": (2, 3), "seed": SEEDS}


def regularise(config: ConfigDict) -> None:
    config.space = {
        "batch_norm": (False, True),
        "dropout": (0.0, 0.3),
        "activation_dropout": (0.0, 0.2),
        "seed": SEEDS,
    }


def optimizer(config: ConfigDict) -> None:
    config.space = {
        "optimizer": ("adam", "adamw"),
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "weight_decay": (0.0, 1e-4, 1e-2),
    }


PARTS = {f.__name__: f for f in (search, baseline, architecture, regularise, optimizer)}
