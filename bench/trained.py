"""A trained trial as a Flax NNX model, from its file in a run directory.

    model = load_trial("runs/sweep")                    # the best one
    model = load_trial("runs/sweep", "e14f1f99fc00")    # one of those that --keep left

Letters: N images of H×W pixels and C channels.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bench import hyperparameters, zoo
from bench.best import Trained
from bench.data import Preprocessing
from bench.errors import ConvoyError, brief
from bench.layers import Layers, Shape, flat, output_shape
from bench.modules import Build, Step
from bench.network import Network
from bench.record import RecordError
from bench.vector import Packing


class Model(Network):
    """(N, H, W, C) uint8 images, as `Preprocessing.picture` makes them → (N, classes) float32 logits.

    It standardises the pixels itself. Where the trial's `output` is "sigmoid", the logits are the logarithms
    of the normalised sigmoids (`bench.outputs`); softmax gives probabilities in both cases. Layers have the
    trial's own widths, and their parameters are `nnx.Param`s. `train()` lets batch norms use the batch's
    statistics and move their own, as anywhere in Flax, until `eval()`; nothing is dropped in either.
    """

    def __init__(self, layers: Layers, preprocessing: Preprocessing):
        super().__init__(layers, _shape(preprocessing), Build(jnp.float32))
        self.preprocessing = preprocessing
        self.use_running_average = True  # what `nnx.Module.train` and `eval` set

    def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:  # type: ignore[override]
        mean, std = (jnp.float32(v) for v in (self.preprocessing.mean, self.preprocessing.std))
        standard = (jnp.asarray(images, jnp.float32) / 255 - mean) / std
        return super().__call__(standard, Step(train=not self.use_running_average))


def load_trial(run: Path | str, trial: str = "") -> Model:
    """A trial of a run directory with its trained parameters: the best one, or the one of this id.

    Raises:
        RecordError: it is not kept there, or its file is damaged or holds no trial.
    """
    return model_of(Trained.read(Path(run), trial))


def model_of(trained: Trained) -> Model:
    """The model of what a file holds. Nobody vouches for that: settings, depth and weights are checked.

    Raises:
        RecordError: the weights are not those of the trial's architecture.
    """
    layers, look = _layers(trained), trained.preprocessing
    model = nnx.eval_shape(lambda: Model(layers, look))
    graph, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    return nnx.merge(graph, *(_filled(state, trained) for state in states))


def _shape(look: Preprocessing) -> Shape:
    return look.height, look.width, look.channels


def _layers(trained: Trained) -> Layers:
    given = trained.trial.settings
    for name in ("filter_repeats", "dense_layers"):
        count = given.get(name, 0)
        if not isinstance(count, int) or count > len(trained.weights):
            raise RecordError(f"the file holds no trial ({name} is absurd); train again")
    try:
        settings = hyperparameters.resolve(given)
        layers = flat(zoo.build(given["model"], settings, len(trained.classes)))
        output_shape(layers, _shape(trained.preprocessing))
    except (ConvoyError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"the file holds no trial ({brief(error)}); train again") from error
    return layers


def _filled(state: nnx.State, trained: Trained) -> nnx.State:
    """The state that `state` has the shapes of, with the trial's weights."""
    shapes, structure = jax.tree.flatten(state)
    try:
        found = [jnp.array(trained.weights[path], np.float32) for path in Packing(state).paths]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"the file does not fit its trial ({brief(error)}); train again"
        ) from error
    if [array.shape for array in found] != [shape.shape for shape in shapes]:
        raise RecordError("the file does not fit its trial (other shapes); train again")
    return jax.tree.unflatten(structure, found)
