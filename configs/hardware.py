"""What this machine does: five small nets, ever more lanes and larger batches. Nothing is learned.

    ./run.sh --config=configs/hardware.py          ten minutes, whatever the machine
    ./run.sh --config=configs/hardware.py:quick    under a minute on 2 cores: three of them, few points

The pictures are noise, the nets those of the suite hardware-1 (bench/suite.py): tiny, small and medium
stacks, and the layers of AlexNet and VGG at widths that a laptop can train. Expect milliseconds a step,
throughput, and at how many lanes and which batch size the chip is full.
--config.benchmark.seconds=3600 takes an hour, for more points.
"""

from ml_collections import ConfigDict

from bench.config import benchmark
from bench.errors import ConfigError


def get_config(cut: str = "") -> ConfigDict:
    config = benchmark()
    config.benchmark.seconds = 580.0  # what is left of ten minutes when Python and JAX have started
    if cut == "quick":
        config.benchmark.update(entries=("tiny", "small", "vgg"), seconds=45.0, lanes=8, batch=128)
    elif cut:
        raise ConfigError(
            f"configs/hardware.py has no {cut!r}: use :quick, or nothing for all of it"
        )
    return config
