"""What the hardware benchmark measures: architectures that stay as they are, so that machines compare.

A change to an entry that changes what is computed makes another suite, with another name.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from bench import layers, zoo
from bench.checks import positive, whole
from bench.errors import ConfigError, nearest
from bench.layers import Layers, Shape
from bench.trial import Trial

SUITE = "hardware-1"
CLASSES = 10


@dataclass(frozen=True)
class Entry:
    """One architecture, on images of one shape.

    Attributes:
        image_shape: (H, W, C): H×W pixels, C channels.
        settings: hyperparameters; the rest are the defaults, adam among them.
        batches: the two batch sizes at which lanes are doubled; batches are doubled from the first.
    """

    name: str
    image_shape: Shape
    settings: Mapping[str, Any]
    batches: tuple[int, int]

    def trial(self, batch: int) -> Trial:
        """What every lane trains: one epoch at this batch size."""
        data = {"suite": SUITE, "entry": self.name}
        return Trial.create({**self.settings, "batch_size": batch, "epochs": 1}, data)

    @cached_property
    def layers(self) -> Layers:
        return zoo.build(self.settings["model"], self.settings, CLASSES)

    @property
    def parameters(self) -> int:
        return layers.parameters(self.layers, self.image_shape)

    @property
    def flops(self) -> int:
        """Of one example's forward pass."""
        return layers.flops(self.layers, self.image_shape)

    @property
    def image_bytes(self) -> int:
        """Of one uint8 image."""
        return math.prod(self.image_shape)


_SMALL = {"model": "stack", "features": 16, "filter_repeats": 2, "padding": "VALID", "units": 128}
_MEDIUM = {"model": "stack", "features": 32, "filter_repeats": 3, "padding": "SAME", "units": 128}
ENTRIES = {
    entry.name: entry
    for entry in (
        Entry("tiny", (8, 8, 1), {"model": "stack", "features": 8, "filter_repeats": 1, "units": 16},
              (8, 64)),
        Entry("small", (28, 28, 1), _SMALL, (8, 64)),
        Entry("medium", (32, 32, 3), _MEDIUM, (8, 64)),
        Entry("alexnet", (64, 64, 3), {"model": "alexnet", "features": 24, "units": 256}, (8, 32)),
        Entry("vgg", (32, 32, 3), {"model": "vgg", "depth": 11, "features": 16, "units": 128}, (8, 32)),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Benchmark:
    """What of the suite is measured, and for how long: `config.benchmark`.

    Attributes:
        suite: its name and version.
        entries: names in `ENTRIES`, in the order in which they are measured.
        seconds: the time that all points may take together, compiling included.
        lanes: the most lanes that are tried.
        batch: the most examples a batch that are tried.

    Raises:
        ConfigError: a value that cannot be used.
    """

    suite: str = SUITE
    entries: tuple[str, ...] = tuple(ENTRIES)
    seconds: float = 600.0
    lanes: int = 512
    batch: int = 65_536

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(self.entries))
        if self.suite != SUITE:
            raise ConfigError(f"unknown benchmark.suite {self.suite!r}: this version has {SUITE}")
        for name in self.entries:
            if name not in ENTRIES:
                raise ConfigError(f"unknown benchmark entry {name!r}; {nearest(name, ENTRIES)}")
        if not self.entries or len(set(self.entries)) < len(self.entries):
            raise ConfigError(
                f"benchmark.entries={self.entries!r}: name one or more of {', '.join(ENTRIES)}, each once"
            )
        positive("benchmark.seconds", self.seconds)
        whole("benchmark.lanes", self.lanes)
        whole("benchmark.batch", self.batch)
        least = max(ENTRIES[name].batches[-1] for name in self.entries)
        if self.batch < least:
            raise ConfigError(f"benchmark.batch must be at least {least}, got {self.batch}")

    def to_json(self) -> dict[str, Any]:
        """What `config.json` holds."""
        return {**asdict(self), "entries": list(self.entries)}
