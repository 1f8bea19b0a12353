"""Trained trials: weights and test predictions, with all that is needed to use them again.

`best.npz` is the best one's; with `--keep`, `trials/<id>.npz` is every one's.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Preprocessing, arrays
from bench.errors import brief
from bench.record import RecordError, finite, write_file
from bench.trial import Trial

NAME, FOLDER = "best.npz", "trials"
_WEIGHTS = "weights/"


@dataclass(frozen=True)
class Trained:
    """A trained trial.

    Attributes:
        trial: its settings.
        classes: names, in the order of the logits.
        preprocessing: of a picture, before it goes in.
        weights: path → array, parameters and batch statistics (`bench.lanes.by_path`).
        test_predictions: (test examples,) int32, in the order of the test split.
        metrics: at that time; and `epoch`, how many it had finished.
    """

    trial: Trial
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    weights: Mapping[str, np.ndarray]
    test_predictions: np.ndarray
    metrics: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Replaces the file, or makes it and its folder.

        Raises:
            RecordError: the disk refuses.
        """
        about = {
            **self.trial.to_json(),
            "classes": self.classes,
            "preprocessing": self.preprocessing.to_json(),
            "metrics": dict(self.metrics),
        }
        weights = {_WEIGHTS + path: array for path, array in self.weights.items()}
        content = io.BytesIO()
        np.savez(
            content,
            allow_pickle=False,
            about=np.array(json.dumps(finite(about))),
            test_predictions=self.test_predictions,
            **weights,
        )
        write_file(path, content.getvalue())

    @classmethod
    def read(cls, workdir: Path, trial: str = "") -> "Trained":
        """A trial of a run directory: the best one, or the one of this id.

        Raises:
            RecordError: it is not kept there, or the file is damaged.
        """
        kept, best = workdir / FOLDER / f"{trial}.npz", workdir / NAME
        if trial and not kept.exists() and best.exists():  # the best one is kept in any case
            found = cls.read(workdir)
            if found.trial.id == trial:
                return found
        path = kept if trial else best
        try:
            return cls._of(arrays.read(path, lambda _: True))
        except FileNotFoundError as error:
            words = (
                "trials are kept by --keep=best or last"
                if trial
                else "no trial has been completed there"
            )
            raise RecordError(f"{workdir} holds no {path.name}: {words}") from error
        except Exception as error:  # a damaged zip raises whatever its damaged part leads to
            raise RecordError(f"{path} is damaged ({brief(error)}); train again") from error

    @classmethod
    def _of(cls, found: Mapping[str, np.ndarray]) -> "Trained":
        about = json.loads(str(found["about"]))
        classes, metrics = tuple(about["classes"]), dict(about["metrics"])
        if not all(isinstance(name, str) for name in (about["trial"], *classes)):
            raise ValueError("the trial or a class has no name")
        weights = {
            name.removeprefix(_WEIGHTS): array
            for name, array in found.items()
            if name.startswith(_WEIGHTS)
        }
        if any(array.dtype.kind in "SUmM" for array in weights.values()):
            raise ValueError("weights that are no numbers")
        predictions = found["test_predictions"]
        if predictions.ndim != 1 or predictions.dtype.kind not in "iu":
            raise ValueError(f"test_predictions is {predictions.dtype} {predictions.shape}")
        look = Preprocessing.from_json(about["preprocessing"])
        return cls(Trial.from_json(about), classes, look, weights, predictions, metrics)
