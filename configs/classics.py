"""Classic architectures on few gray images of ten classes.

    python -m bench.main --config=configs/classics.py:cnn --data_dir=DATA
    python -m bench.main --config=configs/classics.py:cnn,250 --data_dir=DATA            at the log's size
    python -m bench.main --config=configs/classics.py:cnn,64,originals --data_dir=DATA   of gtsrb3

The log had 250×250 pixels and a private set, of which 66 images tested: one is 0.015, and 0.1515 is 10
of them, one class throughout. Here it is the ten largest classes of gtsrb, enlarged from 32×32, 660
images of which 66 test, or `originals`: 660 of gtsrb3's in their own sizes. 64×64 pixels unless a number
says otherwise, so that a CPU can run it. Batches of 32, adam at 0.001, five seeds, unless said.
--keep=best keeps each trial's best epoch.

    :cnn        250, 64, 32 filters with pools, or 64, 64, 32, or one more convolution, or 16, 32, 64;
                dense 1024; a softmax, or sigmoids with the cross-entropy of their shares as Keras has
                it. 20 epochs. Reported: 0.697, 0.742, 0.742, 0.773. Asked: is the output what differs?
    :alexnet    as published, with batch norm; dense 4096 twice, dropout 0.5; sgd at 0.001, and at 0.01;
                50 epochs. Reported: 0.409
    :vgg19      as published, dense 4096 twice, dropout 0.5, and the same with batch norm; 25 epochs.
                Reported: 0.1515
    :inception  GoogLeNet's modules as published, and in a row, as the log had read them; with and
                without batch norm; 25 epochs. Reported: 0.1515, in a row
    :resnet     ResNet-20; 20 epochs. The log names it without a figure.
"""

from ml_collections import ConfigDict

from bench.config import defaults
from bench.experiments import chosen

SEEDS = (0, 1, 2, 3, 4)
LARGEST = (1, 2, 4, 5, 9, 10, 12, 13, 25, 38)
SIZE = 64
VALID_FROM = 67  # pixels: smaller images do not fit through AlexNet without padding


def get_config(argument: str = "") -> ConfigDict:
    part, options = chosen("configs/classics.py", argument, PARTS, ("originals",), sizes=True)
    config = defaults()
    config.dataset = "gtsrb3" if "originals" in options else "gtsrb"
    config.data.classes = () if "originals" in options else tuple(map(str, LARGEST))
    config.data.update(color="gray", limit=660, test_fraction=0.1, valid_fraction=0.1)
    config.data.image_size = next((int(o) for o in options if o.isdecimal()), SIZE)
    config.trial.update(batch_size=32, optimizer="adam", learning_rate=0.001, epochs=20)
    config.trial.init = "glorot_uniform"
    config.space = {"seed": SEEDS}
    part(config)
    return config


def cnn(config: ConfigDict) -> None:
    config.trial.update(model="convnet", hidden=(1024,))
    config.space.update(
        filters=((250, 64, 32), (64, 64, 32), (250, 64, 32, 32), (16, 32, 64)),
        output=("softmax", "sigmoid"),
    )


def alexnet(config: ConfigDict) -> None:
    fits = config.data.image_size >= VALID_FROM
    config.trial.update(model="alexnet", features=96, padding="VALID" if fits else "SAME")
    config.trial.update(units=4096, dropout=0.5, batch_norm=True, optimizer="sgd", epochs=50)
    config.space.update(learning_rate=(0.001, 0.01))


def vgg19(config: ConfigDict) -> None:
    config.trial.update(model="vgg", depth=19, features=64, units=4096, dropout=0.5, epochs=25)
    config.space.update(batch_norm=(False, True))


def inception(config: ConfigDict) -> None:
    config.trial.update(model="inception", dropout=0.4, epochs=25)
    config.trial.features = 64
    config.space.update(paths=("parallel", "sequential"), batch_norm=(False, True))


def resnet(config: ConfigDict) -> None:
    config.trial.update(model="resnet", features=16, stage_blocks=3)


PARTS = {f.__name__: f for f in (cnn, alexnet, vgg19, inception, resnet)}
