"""The sigmoid output: Keras' cross-entropy of normalised sigmoids, written out, in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import draws, padding
from bench.initial import initial_values
from bench.layers import Dense
from bench.modules import Build, Step
from bench.network import Network
from bench.outputs import SigmoidOutput
from tests.fused import distance, make, planned, train_fused
from tests.networks import quick

SHARED = {
    "model": "convnet", "hidden": (), "output": "sigmoid", "optimizer": "sgd", "batch_size": 48,
    "epochs": 2, "learning_rate": 0.3,
}  # fmt: skip
TRIALS = [SHARED | {"filters": (3,)}, SHARED | {"filters": (5,), "label_smoothing": 0.1, "seed": 1}]


def keras(targets, outputs, xp=np):
    """`keras.ops.categorical_crossentropy(targets, outputs)` of probabilities, as its source has it."""
    shares = outputs / outputs.sum(-1, keepdims=True)
    return -(targets * xp.log(xp.clip(shares, 1e-7, 1 - 1e-7))).sum(-1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


network = Network((SigmoidOutput(),), (4,), Build(jnp.float64))


def losses_of(logits, targets):
    return -(targets * network(logits, Step(False))).sum(-1)


ours = quick(losses_of)
slope = quick(jax.grad(lambda *given: losses_of(*given).sum()))
# Sigmoids of -20 beside some of 1 are clipped.
LOGITS = st.lists(st.floats(-25, 25), min_size=4, max_size=4)


@given(LOGITS, st.integers(0, 3), st.sampled_from((0.0, 0.2)))
@settings(deadline=None, max_examples=200, database=None)
def test_the_loss_is_keras_own(logits, label, smoothing):
    x = np.array([logits])
    targets = np.eye(4)[[label]] * (1 - smoothing) + smoothing / 4
    wanted = keras(targets, sigmoid(x))
    assert np.asarray(ours(x, targets)) == pytest.approx(wanted, rel=1e-13, abs=1e-13)


@given(LOGITS, st.integers(0, 3))
@settings(deadline=None, max_examples=100, database=None)
def test_the_gradient_is_that_of_the_clipped_loss(logits, label):
    """Of -log(σ_y / Σσ): (1 - σ_j) σ_j / Σσ - [j = y] (1 - σ_y); of what is clipped: 0."""
    x, y = np.array([logits]), sigmoid(np.array(logits))
    shares = y / y.sum()
    near = min(abs(math.log(shares[label] / 1e-7)), abs(shares[label] - (1 - 1e-7)))
    wanted = (1 - y) * shares - np.eye(4)[label] * (1 - y[label])
    if not 1e-7 < shares[label] < 1 - 1e-7:
        wanted = np.zeros(4)
    if near > 1e-9:
        assert np.asarray(slope(x, np.eye(4)[[label]]))[0] == pytest.approx(wanted, abs=1e-13)


def test_sigmoids_that_underflow_are_no_nan():
    """Keras divides 0 by 0 there."""
    network = Network((SigmoidOutput(),), (2,), Build(jnp.float32))
    found = network(jnp.array([[-200.0, -201.0]], jnp.float32), Step(False))
    assert np.asarray(found)[0] == pytest.approx(np.log(sigmoid(np.array([1.0, -1.0]))), rel=1e-5)


def test_it_is_structure():
    trials = [make(SHARED | {"filters": (3,), "output": o}) for o in ("softmax", "sigmoid")]
    layers = [trial.layers(3) for trial in trials]
    assert layers[0] == layers[1][:-1]
    assert isinstance(layers[0][-1], Dense)
    assert padding.skeleton(layers[0]) != padding.skeleton(layers[1])


def alone(trial, dataset):
    """The trial trained by itself, with stock layers and Keras' formula; weights and test loss."""
    side, (features,) = dataset.image_shape[0], trial["filters"]
    make = {"rngs": nnx.Rngs(0), "dtype": jnp.float64, "param_dtype": jnp.float64}
    conv = nnx.Conv(1, features, (3, 3), padding="SAME", **make)
    dense = nnx.Linear((side // 2) ** 2 * features, dataset.classes, **make)
    arrays = padding.arrays(trial.layers(dataset.classes), dataset.image_shape)
    start = np.split(
        initial_values(arrays, trial["seed"], trial["init"]),
        np.cumsum([math.prod(shape) for _, shape in arrays])[:-1],
    )
    params = {
        path: jnp.asarray(values.reshape(shape), jnp.float64)
        for (path, shape), values in zip(arrays, start, strict=True)
    }
    (conv_path, dense_path) = dict.fromkeys(path.rpartition("/")[0] for path, _ in arrays)
    mean, std = (np.asarray(v) for v in (dataset.preprocessing.mean, dataset.preprocessing.std))

    def losses(params, x, y, smoothing):
        graph = [(nnx.split(m), path) for m, path in ((conv, conv_path), (dense, dense_path))]
        conv_, dense_ = (
            nnx.merge(g, nnx.State({"kernel": nnx.Param(params[f"{p}/kernel"]),
                                    "bias": nnx.Param(params[f"{p}/bias"])}))
            for (g, _), p in graph
        )  # fmt: skip
        x = nnx.max_pool(jax.nn.relu(conv_((x / 255 - mean) / std)), (2, 2), (2, 2))
        outputs = jax.nn.sigmoid(dense_(x.reshape(len(x), -1)))
        targets = jax.nn.one_hot(y, dataset.classes) * (1 - smoothing) + smoothing / dataset.classes
        return keras(targets, outputs, jnp).mean()

    gradient = quick(jax.grad(losses))
    for epoch in range(trial["epochs"]):
        order = draws.order(trial["data_seed"], epoch, len(dataset.train))
        for first in range(0, len(order), trial["batch_size"]):
            rows = order[first : first + trial["batch_size"]]
            x = jnp.asarray(dataset.train.images[rows], jnp.float64)
            moved = gradient(params, x, dataset.train.labels[rows], trial["label_smoothing"])
            params = jax.tree.map(lambda p, g: p - trial["learning_rate"] * g, params, moved)
    test = dataset.test
    loss = quick(losses)(params, jnp.asarray(test.images, jnp.float64), test.labels, 0.0)
    return {path: np.asarray(value) for path, value in params.items()}, float(loss)


def test_trained_in_a_program_it_ends_where_it_ends_alone(digits):
    """Two widths in one program, one of them padded."""
    trials = [make(settings) for settings in TRIALS]
    assert planned(trials, digits).padded
    fused = train_fused(trials, digits)
    for trial in trials:
        weights, loss = alone(trial, digits)
        ours, metrics = fused[trial.id]
        assert distance(ours, weights) < 1e-12
        assert metrics["test_loss"] == pytest.approx(loss, rel=1e-12)
