"""One trial: a full setting of the hyperparameters, known by a hash of its content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench import hyperparameters, zoo
from bench.errors import ConfigError
from bench.layers import Layers

VERSION = 1  # of what an id means: raised when the same settings come to train differently


@dataclass(frozen=True)
class Trial:
    """The active hyperparameters of one training run, in canonical types, and their id.

    Attributes:
        id: 12 hexadecimal digits, a hash of the settings, the data they train on, and `VERSION`.
        settings: name → value for every active hyperparameter.
    """

    id: str
    settings: Mapping[str, Any]

    @classmethod
    def create(cls, settings: Mapping[str, Any], data: Mapping[str, Any]) -> "Trial":
        """A checked trial.

        Args:
            settings: hyperparameters; what is missing takes its default, what is inactive is dropped.
            data: what else decides the result, and belongs in the id: data set, split, precision.

        Raises:
            ConfigError: see `hyperparameters.resolve`.
        """
        resolved = hyperparameters.resolve(settings)
        content = json.dumps([VERSION, data, resolved], sort_keys=True)
        return cls(hashlib.sha256(content.encode()).hexdigest()[:12], resolved)

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def __hash__(self) -> int:
        return hash(self.id)

    def layers(self, classes: int) -> Layers:
        """The architecture that these settings describe.

        Raises:
            ConfigError: the model refuses a setting; the message names the trial.
        """
        try:
            return zoo.build(self["model"], self.settings, classes)
        except ConfigError as error:
            raise type(error)(f"trial {self.id}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back; tuples come back as tuples."""
        return {"trial": self.id, "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Trial":
        """The trial that `to_json` wrote."""
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in data["settings"].items()}
        return cls(data["trial"], settings)

    def describe(self, names: tuple[str, ...]) -> str:
        """`features=16 learning_rate=0.001` for those of `names` that are active here."""
        shown = ((n, self.settings[n]) for n in names if n in self.settings)
        return " ".join(f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n, v in shown)
