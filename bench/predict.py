"""Classifies pictures with a run's best trial: `python -m bench.predict RUN picture…`

Each picture is prepared as the training images were (size, gray or colour, standardised).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.best import Trained
from bench.errors import ConvoyError


class Classifier:
    """A trained trial, ready to classify.

    Args:
        best: from `Trained.read`.

    Raises:
        RecordError: the weights are not those of the trial's architecture.
    """

    def __init__(self, best: Trained):
        import jax
        from flax import nnx

        from bench.trained import model_of

        self.best = best
        graph, state = nnx.split(model_of(best))
        self._probabilities = jax.jit(
            lambda images: jax.nn.softmax(nnx.merge(graph, state)(images))
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 → (N, classes) probabilities."""
        return np.asarray(self._probabilities(images))

    def picture(self, path: Path | str) -> np.ndarray:
        """(classes,) probabilities for a picture file; DataError where it cannot be read."""
        return self(self.best.preprocessing.picture(path)[None])[0]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("pictures", nargs="+", type=Path, metavar="picture")
    arguments = parser.parse_args(argv)
    try:
        classifier = Classifier(Trained.read(arguments.run))
        found = [(path, classifier.picture(path)) for path in arguments.pictures]
    except ConvoyError as error:
        print(f"convoy: {error}", file=sys.stderr)
        return 2
    classes, trial = classifier.best.classes, classifier.best.trial
    table = Table("picture", "class", "probability", "next best", title=f"trial {trial.id}")
    for path, probabilities in found:
        first, second = np.argsort(-probabilities, kind="stable")[:2]
        table.add_row(
            str(path),
            classes[first],
            f"{probabilities[first]:.1%}",
            f"{classes[second]} {probabilities[second]:.1%}",
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
