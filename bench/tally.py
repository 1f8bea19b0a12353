"""How far the trials of a program are, counted along with its journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Tally:
    """Of one program's trials.

    Attributes:
        begun: how many began.
        ended: how many of them ended for good.
        epochs: that those which began were asked for.
        done: of these; a trial that ended early has no more to do.
    """

    begun: int = 0
    ended: int = 0
    epochs: int = 0
    done: int = 0

    def begin(self, settings: Mapping[str, Any]) -> None:
        self.begun += 1
        self.epochs += settings.get("epochs", 0)

    def end(self, settings: Mapping[str, Any], trained: int) -> None:
        """After so many epochs."""
        self.ended += 1
        self.done += settings.get("epochs", 0) - trained

    def share(self, planned: int) -> float:
        """Of the work of `planned` trials, from 0 to 1; one that is to come counts as those that began."""
        if not self.epochs:
            return 0.0
        return self.done / self.epochs * min(1.0, self.begun / max(planned, 1))
