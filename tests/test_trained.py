"""A trial that is loaded answers as it did when it was trained; plain Orbax reads what is exported."""

import io
import json
from dataclasses import replace

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from rich.console import Console

from bench import export
from bench.best import NAME, Trained
from bench.config import defaults, resolve
from bench.options import Options
from bench.predict import Classifier
from bench.record import RecordError
from bench.run import Run
from bench.trained import load_trial, model_of

SWEEPS = {
    "padded": {"space": {"features": (2, 5), "units": (3, 6), "dense_layers": (1, 2)}},
    "batch norm": {"trial": {"batch_norm": True}, "space": {"features": (2, 4)}},
    "inception": {"trial": {"model": "inception", "features": 3, "modules": 1}},
    "resnet": {"trial": {"model": "resnet", "features": 3, "stage_blocks": 1}},
    "sigmoid": {"trial": {"model": "convnet", "output": "sigmoid"}},
}


HEAVY = ("inception", "resnet")
PARAMS = [pytest.param(n, marks=[pytest.mark.slow] * (n in HEAVY)) for n in SWEEPS]


@pytest.fixture(scope="module", params=PARAMS)
def swept(request, tmp_path_factory):
    """A run directory with all its trials, and the data."""
    config = defaults()
    config.data.limit = 190
    config.trial.update(epochs=2, batch_size=16, learning_rate=0.01)
    config.trial.update(SWEEPS[request.param].get("trial", {}))
    config.space = SWEEPS[request.param].get("space", {})
    workdir = tmp_path_factory.mktemp("runs") / "run"
    options = Options(workdir, devices=2, plan="fewest", keep="last", cache_dir=None)
    run = Run(resolve(config), options, Console(file=io.StringIO()))
    return workdir, run.train(), run.dataset


def test_it_predicts_what_the_file_holds(swept):
    workdir, results, dataset = swept
    for name in results.trials:
        model, trained = load_trial(workdir, name), Trained.read(workdir, name)
        logits = model(dataset.test.images)
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(np.argmax(logits, -1), trained.test_predictions)
        hits = (trained.test_predictions == dataset.test.labels).mean()
        assert results.trials[name].metrics["test_accuracy"] == pytest.approx(hits)
        numbers = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
        assert numbers == results.trials[name].parameters  # its own, not the program's


def test_the_best_is_found_by_its_id_too(swept, tmp_path):
    workdir, results, dataset = swept
    (tmp_path / NAME).write_bytes((workdir / NAME).read_bytes())
    best, images = results.best.trial.id, dataset.test.images
    np.testing.assert_array_equal(load_trial(tmp_path, best)(images), load_trial(workdir)(images))
    with pytest.raises(RecordError, match=r"holds no 0123456789ab\.npz: trials are kept by --keep"):
        load_trial(tmp_path, "0123456789ab")


def test_classifier_and_model_are_one(swept):
    workdir, _, dataset = swept
    shares = Classifier(Trained.read(workdir))(dataset.test.images)
    logits = load_trial(workdir)(dataset.test.images)
    np.testing.assert_allclose(shares, jax.nn.softmax(logits), rtol=1e-5, atol=1e-7)


def test_it_can_be_trained_on(swept):
    """As any Flax model: its loss falls, and batch norms move while it is in `train()`."""
    workdir, _, dataset = swept
    model = load_trial(workdir)
    assert isinstance(model, nnx.Module)
    images, labels = dataset.train.images[:32], dataset.train.labels[:32]
    optimizer = nnx.Optimizer(model, optax.sgd(1e-3), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

        value, gradient = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradient)
        return value

    before = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    model.train()
    losses = [float(step(model, optimizer)) for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    after = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    model.eval()
    np.testing.assert_array_equal(model(images), model(images))


def test_plain_orbax_reads_an_export(swept, tmp_path, capsys):
    workdir, results, dataset = swept
    name, out = min(results.trials), tmp_path / "out"
    assert export.main([str(workdir), f"--trial={name}", f"--out={out}"]) == 0
    tree = ocp.StandardCheckpointer().restore(out / export.CHECKPOINT)
    about = json.loads((out / export.ABOUT).read_text())
    trained = Trained.read(workdir, name)
    assert about["trial"] == name
    assert about["classes"] == list(dataset.class_names)
    assert about["preprocessing"] == dataset.preprocessing.to_json()
    assert set(tree) == {"params"} | ({"batch_stats"} if "batch_stats" in tree else set())
    paths = jax.tree_util.tree_leaves_with_path(tree)
    found = {"/".join(key.key for key in path[1:]): leaf for path, leaf in paths}
    assert sorted(found) == sorted(trained.weights)
    for path, leaf in found.items():
        np.testing.assert_array_equal(leaf, trained.weights[path])
    # Another model of the same architecture takes them as any Flax model does.
    blank = model_of(replace(trained, weights={k: v * 0 for k, v in trained.weights.items()}))
    for part in tree.values():
        nnx.update(blank, nnx.State(nnx.restore_int_paths(part)))
    images = dataset.test.images
    np.testing.assert_array_equal(blank(images), load_trial(workdir, name)(images))
    assert export.main([str(workdir), f"--out={out}"]) == 2
    assert "is there already; remove it, or use another --out" in capsys.readouterr().err


def test_a_file_of_another_trial_is_refused(swept):
    trained = Trained.read(swept[0])
    path, weights = next(iter(trained.weights)), dict(trained.weights)
    longer = {**weights, path: np.zeros(weights[path].size + 1)}
    less = {name: array for name, array in weights.items() if name != path}
    for changed in (longer, less):
        with pytest.raises(RecordError, match="does not fit its trial"):
            model_of(replace(trained, weights=changed))
    for name, value in (("dense_layers", 10**9), ("model", "none"), ("activation", 3)):
        trial = replace(trained.trial, settings={**trained.trial.settings, name: value})
        with pytest.raises(RecordError, match="holds no trial"):
            model_of(replace(trained, trial=trial))
