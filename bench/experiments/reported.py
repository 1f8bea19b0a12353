"""A figure that a log reported, and what our trials of the same model reached with as much training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.experiments.runs import Run, Side, Trained
from bench.report import stats, units


@dataclass(frozen=True)
class Reported:
    """A figure of a log.

    Attributes:
        config: what --config is for the run that holds our trials, without its folder.
        model: in words.
        accuracy: on test examples, from 0 to 1.
        epochs: of training; None where the log does not say.
        settings: of our trials that are this model; {} where the log does not say which it was.
        test_examples: None where the log does not say.
        losses: other figures, by the name of the column that ours have.
        note: what must be known to compare.
        collapsed: theirs answered with one class throughout: how often ours did is told too.
    """

    config: str
    model: str
    accuracy: float
    epochs: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    test_examples: int | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    collapsed: bool = False

    def ours(self, runs: Mapping[str, Run]) -> tuple[str, str]:
        """What ours reached after as many epochs, and whether that is theirs or more: both in words.

        Of a model that the log names, every trial counts; of "the best", the one that validation ranks
        first, for the test set chooses nothing.
        """
        found = Side(self.config, self.settings).trained(runs, self.epochs)
        found = [trial for trial in found if trial.accuracy is not None]
        if not found:
            return "not trained yet", ""
        examples = runs[self.config].test_examples
        if self.settings:
            return self._each(found, examples)
        best = max(found, key=lambda trial: trial.rank)
        interval = units.interval(*stats.wilson(best.accuracy, examples), examples)
        told = f"{units.percent(best.accuracy, examples)} {interval}, first of {len(found):,}"
        return told, "yes" if self._reaches(best) else "no"

    def _each(self, found: list[Trained], examples: int) -> tuple[str, str]:
        accuracies = sorted(trial.accuracy for trial in found)
        shown = units.percent(median(accuracies), examples)
        if len(found) > 1:
            ends = units.interval(accuracies[0], accuracies[-1], examples)
            shown = f"{shown} in the median of {len(found)}, {ends}"
        for name, theirs in self.losses.items():
            ours = median(trial.metrics[name] for trial in found)
            shown += f"; {name} {ours:.4f} (theirs {theirs:.4f})"
        reach = sum(map(self._reaches, found))
        told = f"{reach} of {len(found)}" if len(found) > 1 else "yes" if reach else "no"
        if self.collapsed:
            told += f"; {sum(trial.collapsed for trial in found)} collapsed too"
        return shown, told

    def _reaches(self, trial: Trained) -> bool:
        """Theirs is rounded: ours counts as theirs if it would have been written down as theirs or more."""
        digits = max(3, len(f"{self.accuracy:g}".partition(".")[2]))
        return round(trial.accuracy, digits) >= self.accuracy
