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

from bench import hyperparameters, zoo
from bench.best import Trained
from bench.errors import ConvoyError, brief
from bench.layers import Layers, Shape, flat, output_shape
from bench.record import RecordError


class Classifier:
    """A trained trial, ready to classify.

    Args:
        best: from `Trained.read`.

    Raises:
        RecordError: the weights are not those of the trial's architecture.
    """

    def __init__(self, best: Trained):
        import jax
        import jax.numpy as jnp
        from flax import nnx

        from bench.modules import Build, Step
        from bench.network import Network
        from bench.vector import Packing

        look = best.preprocessing
        shape = (look.height, look.width, look.channels)
        layers = _layers(best, shape)
        network = nnx.eval_shape(lambda: Network(layers, shape, Build(jnp.float32)))
        graph, *states = nnx.split(network, nnx.Param, nnx.BatchStat)
        filled = [_filled(Packing(state), best.weights) for state in states]
        self.best = best

        def probabilities(images: jax.Array) -> jax.Array:
            standard = (images / 255.0 - jnp.asarray(look.mean)) / jnp.asarray(look.std)
            logits = nnx.merge(graph, *filled)(standard, Step(train=False))
            return jax.nn.softmax(logits)

        self._probabilities = jax.jit(probabilities)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 → (N, classes) probabilities."""
        return np.asarray(self._probabilities(np.asarray(images, np.float32)))

    def picture(self, path: Path | str) -> np.ndarray:
        """(classes,) probabilities for a picture file; DataError where it cannot be read."""
        return self(self.best.preprocessing.picture(path)[None])[0]


def _layers(best: Trained, shape: Shape) -> Layers:
    """The trial's architecture. The file may be anybody's: its settings are checked, and its depth too."""
    given = best.trial.settings
    for name in ("filter_repeats", "dense_layers"):
        count = given.get(name, 0)
        if not isinstance(count, int) or count > len(best.weights):
            raise RecordError(f"best.npz holds no trial ({name} is absurd); train again")
    try:
        layers = flat(zoo.build(given["model"], hyperparameters.resolve(given), len(best.classes)))
        output_shape(layers, shape)
    except (ConvoyError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"best.npz holds no trial ({brief(error)}); train again") from error
    return layers


def _filled(packing, weights):  # type: ignore[no-untyped-def]  # its types need JAX
    """The state that `packing` describes, with these weights."""
    import jax.numpy as jnp

    try:
        arrays = [np.asarray(weights[path], np.float32).reshape(-1) for path in packing.paths]
        return packing.unpack(jnp.asarray(np.concatenate([*arrays, np.zeros(0, np.float32)])))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"best.npz does not fit its trial ({error}); train again") from error


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
