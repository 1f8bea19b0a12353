"""Pictures of runs: the numbers in them, and that each is drawn."""

import numpy as np
import pytest

from bench.best import Trained
from bench.data import Preprocessing
from bench.experiments.pictures import ClassWeights, Curves, HeatMap, Iterations, Regression
from bench.experiments.runs import Run
from bench.report.charts import svg
from bench.trial import Trial
from tests.experiments import made_up
from tests.experiments.made_up import accuracy

PART = "mnist_mlp.py:one_layer"
GRID = [{"batch_size": b, "learning_rate": r} for b in (1, 10) for r in (0.1, 0.5)]


def run_of(settings, metrics, **more):
    return made_up.run(PART, settings, metrics, **more)[PART]


def drawn(picture, run):
    spec = picture.spec(run)
    assert svg(spec).startswith("<svg")
    return spec


def test_a_heat_map_holds_the_means():
    settings = [{**point, "seed": seed} for point in GRID for seed in (0, 1)]
    run = run_of(settings, lambda s, _: accuracy(s["learning_rate"] + s["seed"] / 10))
    data = drawn(HeatMap(PART, "learning_rate", "batch_size"), run)["data"]["values"]
    assert {(c["x"], c["y"]): c["value"] for c in data} == {
        (str(s["learning_rate"]), str(s["batch_size"])): pytest.approx(s["learning_rate"] + 0.05)
        for s in GRID
    }
    assert {cell["n"] for cell in data} == {2}


def test_a_regression_leaves_out_what_collapsed():
    settings = [{"units": units} for units in (8, 16, 32, 64)]
    run = run_of(
        settings, lambda s, _: accuracy(0.5 + s["units"] / 1000, collapsed=s["units"] == 64)
    )
    points = drawn(Regression(PART, "units"), run)["data"]["values"]
    assert sorted(point["x"] for point in points) == [8, 16, 32]


def test_curves_are_means_over_seeds():
    settings = [{"units": units, "seed": seed} for units in (8, 16) for seed in (0, 1)]
    run = run_of(
        settings,
        lambda s, e: {"train_loss": 1 / e, "test_loss": s["units"] / e + s["seed"]},
        epochs=2,
    )
    found = {
        (p["series"], p["x"], p["dash"]): p["y"]
        for p in drawn(Curves(PART, "units"), run)["data"]["values"]
    }
    assert found["8", 2, "test"] == 4.5
    assert found["16", 1, "test"] == 16.5
    assert found["16", 2, "train"] == 0.5
    assert len(found) == 8


def test_losses_by_step_are_of_the_trials_that_are_asked_for():
    run = run_of(GRID, lambda *_: {})
    assert Iterations(PART, "learning_rate", {"batch_size": 10}).spec(run) is None
    for name, record in run.results.trials.items():
        rate = record.trial["learning_rate"]
        run.results.losses[name].add([[0, 5, rate * 8, 4.0, 1, 4], [1, 9, rate * 2, 2.0, 1, 2]])
    spec = drawn(Iterations(PART, "learning_rate", {"batch_size": 10}), run)
    points = sorted((p["series"], p["x"], p["y"]) for p in spec["data"]["values"])
    assert points == [
        ("0.1", 5, 0.2), ("0.1", 9, 0.1), ("0.5", 5, 1.0), ("0.5", 9, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize(("values", "told"), [(7, 7), (8, 6)])
def test_as_many_lines_as_there_are_colours_have_names(values, told):
    """Of more, those that follow are gray, and told apart under the pointer."""
    settings = [{"units": units} for units in range(1, 1 + values)]
    run = run_of(settings, lambda *_: {}, epochs=2)
    color = Curves(PART, "units").spec(run)["encoding"]["color"]
    assert color["legend"]["values"] == [str(units) for units in range(1, 1 + told)]
    assert len(set(color["scale"]["range"])) == 7


def test_a_list_of_one_number_is_that_number():
    """Else 100 would come before 20."""
    settings = [{"model": "convnet", "hidden": (h,), "last_filters": 8} for h in (20, 100)]
    run = run_of(settings, lambda *_: accuracy(0.5))
    data = HeatMap(PART, "last_filters", "hidden").spec(run)
    assert data["encoding"]["y"]["sort"] == ["20", "100"]


@pytest.mark.parametrize(("shape", "there"), [((6, 3), True), ((4, 3), False)])
def test_weights_of_classes_are_pictures(tmp_path, shape, there):
    trial, look = Trial.create({}, {}), Preprocessing(2, 3, 1, (0.0,), (1.0,))
    weights = {
        "0/kernel": np.arange(np.prod(shape), dtype=np.float32).reshape(shape),
        "0/bias": np.zeros(3),
    }
    Trained(trial, ("a", "b", "c"), look, weights, np.zeros(1, np.int32), {}).write(
        tmp_path / "best.npz"
    )
    run = Run(tmp_path, PART, run_of(GRID, lambda *_: {}).results)
    spec = ClassWeights(PART).spec(run)
    assert bool(spec) == there
    if there:
        assert [picture["name"] for picture in spec["data"]["values"]] == ["a", "b", "c"]
        assert svg(spec).startswith("<svg")


def test_without_parameters_there_are_no_weights_to_see(tmp_path):
    run = Run(tmp_path, PART, run_of(GRID, lambda *_: {}).results)
    assert ClassWeights(PART).spec(run) is None
