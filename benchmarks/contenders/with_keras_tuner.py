"""Keras Tuner: its grid search over the trials of a sweep, with Keras as in `with_keras`."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from bench.trial import Trial
from benchmarks.contenders.contender import Data, Piece
from benchmarks.contenders.with_keras import Keras


class _Trials(keras_tuner.HyperModel):
    """Builds and fits what the tuner asks for, and notes what came of it."""

    def __init__(self, make: Callable[[Trial], Keras], trials: Sequence[Trial], clock: Any):
        super().__init__()
        self.make, self.trials, self.clock = make, {trial.id: trial for trial in trials}, clock
        self.pieces: list[Piece] = []
        self.start = clock()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.contender = self.make(self.trials[hp.Choice("trial", list(self.trials))])
        return self.contender.model

    def fit(self, hp: Any, model: Any, *_: Any, callbacks: Any, **__: Any) -> Any:  # noqa: ARG002
        history = self.contender.fit(callbacks=callbacks)
        (result,) = self.contender.evaluate()
        now = self.clock()
        self.pieces.append(Piece(now - self.start, {self.contender.trials[0].id: result}))
        self.start = now
        return history


class KerasTuner(Keras):
    """A sweep is a grid over the trials."""

    @classmethod
    def sweep(
        cls,
        groups: Sequence[Sequence[Trial]],
        data: Data,
        options: Mapping[str, Any],
        clock: Callable[[], float],
    ) -> Iterator[Piece]:
        trials = [trial for (trial,) in groups]

        def make(trial: Trial) -> Keras:
            return cls([trial], data, metrics=("accuracy",), **options)

        model = _Trials(make, trials, clock)
        with tempfile.TemporaryDirectory() as folder:
            tuner = keras_tuner.GridSearch(
                model, "val_accuracy", max_trials=len(trials), directory=folder
            )
            tuner.search(*(array[:1] for array in data.training), verbose=0)
        assert len({tuple(p.results) for p in model.pieces}) == len(trials), "the grid has gaps"
        yield from model.pieces


CONTENDER = KerasTuner
