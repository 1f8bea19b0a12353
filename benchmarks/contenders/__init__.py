"""The libraries that `benchmarks.peers` compares, each behind the same few methods; a process for each."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One way to train with one library.

    Attributes:
        module: in this package; its `CONTENDER` is a `contender.Contender`.
        packages: what must be installed.
        options: of the contender.
        variants: more of them, among which a steady work chooses by measurement; a sweep takes the first.
        environment: set before the library is imported.
        together: it trains all trials of a work at once, on all cores; the others train one, and a process
            for each core side by side serves them.
        steady, sweeps: what kinds of work it does.
    """

    module: str
    packages: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[Mapping[str, Any], ...] = ({},)
    environment: Mapping[str, str] = field(default_factory=dict)
    together: bool = False
    steady: bool = True
    sweeps: bool = True

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        found = importlib.util.find_spec
        return tuple(name for name in self.packages if found(name.replace("-", "_")) is None)


_FLAX = ("jax", "flax", "optax")
_JAX, _TF = {"KERAS_BACKEND": "jax"}, {"KERAS_BACKEND": "tensorflow"}
_JIT, _NO_JIT = {"jit_compile": True}, {"jit_compile": False}
_UPDATES = ({"fused": False}, {"fused": True})
_DISPATCHES = ({"scan": False}, {"scan": True})

CONTENDERS: dict[str, Entry] = {
    "convoy": Entry("with_convoy", _FLAX, together=True),
    "keras-jax": Entry("with_keras", ("keras", "jax"), _JIT, environment=_JAX),
    "keras-tf": Entry("with_keras", ("keras", "tensorflow"), {}, (_NO_JIT, _JIT), environment=_TF),
    "keras-tuner": Entry(
        "with_keras_tuner",
        ("keras", "tensorflow", "keras-tuner", "tensorboard"),
        _NO_JIT,
        environment=_TF,
        together=True,
        steady=False,
    ),
    "torch": Entry("with_torch", ("torch",), {}, _UPDATES),
    "torch-channels-last": Entry("with_torch", ("torch",), {"channels_last": True}, _UPDATES),
    "torch-compile": Entry(
        "with_torch", ("torch",), {"compiled": True, "fused": True}, sweeps=False
    ),
    "flax-loop": Entry("with_flax", _FLAX, {}, _DISPATCHES),
    "flax-vmap": Entry("with_flax", _FLAX, {"vmapped": True}, _DISPATCHES, together=True),
}
