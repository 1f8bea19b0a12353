"""Which trained parameters a sweep leaves behind: the best trial's, and on request every trial's."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.best import FOLDER, NAME, Trained
from bench.data import Dataset
from bench.directory import RunDirectory
from bench.journal import make
from bench.program import Program, Seat

KEEP = ("none", "best", "last")

Ended = tuple[Seat, Mapping[str, Any], str]
"""A seat, its metrics at an epoch's end, and its status if the trial ended with it, else ""."""


class Keeper:
    """Writes trained parameters, before the journal says that the epoch is over: a kill loses nothing.

    Args:
        directory: where to.
        dataset: that the trials learn.
        keep: of every trial, the parameters of its "best" epoch, of its "last", or "none".
    """

    def __init__(self, directory: RunDirectory, dataset: Dataset, keep: str):
        self.directory, self.dataset, self.keep = directory, dataset, keep

    def epoch_ended(self, program: Program, ended: Sequence[Ended]) -> None:
        """To be called while all are still in their lanes."""
        results = self.directory.results
        folder = self.directory.path / FOLDER
        for seat, metrics, status in ended:
            best = self.keep == "best" and status != "diverged"
            if (best and results.is_best_epoch(seat.trial.id, metrics)) or (
                self.keep == "last" and status == "completed"
            ):
                make(folder)
                self._trained(program, seat, metrics).write(folder / f"{seat.trial.id}.npz")
        completed = [(seat, metrics) for seat, metrics, status in ended if status == "completed"]
        if completed:
            seat, metrics = min(completed, key=lambda c: results.score(c[0].trial.id, c[1]))
            if results.beats_completed(seat.trial.id, metrics):
                self._trained(program, seat, metrics).write(self.directory.path / NAME)

    def _trained(self, program: Program, seat: Seat, metrics: Mapping[str, Any]) -> Trained:
        return Trained(
            trial=seat.trial,
            classes=self.dataset.class_names,
            preprocessing=self.dataset.preprocessing,
            weights=program.ready.weights(seat.lane, seat.trial),
            test_predictions=program.ready.test_predictions(seat.lane),
            metrics={"epoch": seat.epoch, **metrics},
        )
