"""What each section says, of a whole run and of those that lack something."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_run
import numpy as np
import pytest
from made_up_sweep import FINISH, PEAKS, RUN, Event, begin, end, epoch, failed, program, sweep

from bench.data import Dataset
from bench.record import Results
from bench.report import sections as package
from bench.report.charts.static import svg
from bench.report.material import Material, gather
from bench.report.reports import pictures
from bench.report.sections import Choice, Rows, Section
from bench.report.sections.axes import effects, heat_maps, parallel_coordinates, seeds
from bench.report.sections.curves import curves
from bench.report.sections.fit import fit
from bench.report.sections.network import architecture, weights
from bench.report.sections.speed import timing
from bench.report.sections.tested import confusion
from bench.report.sections.trials import incomplete, leaderboard
from bench.report.table import Table
from bench.trial import Trial

Read = Callable[[list[Event]], Results]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return made_up_run.digits()


@pytest.fixture(scope="module")
def material(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Material:
    workdir = tmp_path_factory.mktemp("run")
    made_up_run.write(workdir, dataset)
    return gather(workdir, Results.read(workdir))


def results(events: list[Event]) -> Results:
    found = Results()
    for event in events:
        found.add(event)
    return found


def charts(section: Section) -> list[dict[str, Any]]:
    """All charts, those that can be chosen too."""
    found = [part for part in section.parts if isinstance(part, dict)]
    for part in section.parts:
        if isinstance(part, Choice):
            found += [spec for specs in part.charts.values() for spec in specs]
    return found


def text(section: Section) -> str:
    return " ".join(part for part in section.parts if isinstance(part, str))


def test_everything_has_something_to_show(material: Material) -> None:
    made = {section.title: section for section in package.sections(material)}
    assert len(made) == len(package.SECTIONS)
    for title, section in made.items():
        shown = [part for part in section.parts if not isinstance(part, str)]
        assert shown or title in ("Spread over seeds",), title


def test_the_leaderboard_has_every_trial_as_it_ranks(material: Material) -> None:
    [rows] = [part for part in leaderboard(material).parts if isinstance(part, Rows)]
    names = [column.name for column in rows.table.columns]
    assert len(rows.table.rows) == 48
    best = dict(zip(names, rows.table.rows[0], strict=True))
    assert best["trial"] == material.results.ranked()[0].trial.id
    tested = len(made_up_run.digits().test)
    assert best["test correct"] == f"{round(0.99 * tested)} of {tested}"
    assert {"95 %", "time", "fit", "learning_rate"} <= set(names)
    assert "collapsed" in {row[names.index("fit")] for row in rows.table.rows}


def test_a_logarithmic_axis_is_one_that_is_drawn_so_or_wide(material: Material) -> None:
    logs = {axis.key: axis.log for axis in material.axes}
    assert logs == {"features": False, "optimizer": False, "learning_rate": True}
    told = results([{**RUN, "axes": ["dropout", "learning_rate"]}, *(
        begin(Trial.create({"dropout": d, "learning_rate": d}, {}), "p") for d in (0.01, 0.5)
    )])  # fmt: skip
    space = {"dropout": "uniform(0.0, 0.5)"}
    assert [axis.log for axis in Material(told, space).axes] == [False, True]


def test_curves_hold_the_journal(material: Material) -> None:
    [choice] = [part for part in curves(material).parts if isinstance(part, Choice)]
    loss, accuracy = choice.charts[("test",)]
    best = material.results.ranked()[0].trial.id
    points = [(r["x"], r["y"]) for r in accuracy["data"]["values"] if r["series"] == best]
    assert points == [(1, 0.5), (2, 0.99)]
    assert ("training and test",) in choice.charts
    assert loss["encoding"]["y"]["scale"]["type"] == "log"
    assert "Shown: the best 10 of 48 trials, and 30 of the others." in text(curves(material))


def test_heat_maps_are_there_for_every_pair(material: Material) -> None:
    [choice] = [part for part in heat_maps(material).parts if isinstance(part, Choice)]
    assert len(choice.charts) == 3 * 2
    [spec] = choice.charts[("optimizer", "features")]
    found = {(r["x"], r["y"]): (r["value"], r["n"]) for r in spec["data"]["values"]}
    rows = [row for row in material.measured if (row["optimizer"], row["features"]) == ("sgd", 16)]
    mean = sum(row[material.accuracy.key] for row in rows) / len(rows)
    assert found["sgd", "16"] == (pytest.approx(mean, rel=1e-5), len(rows))


def test_of_many_axes_the_most_important_are_drawn() -> None:
    axes = [f"axis_{n:02}" for n in range(14)]
    trials = [
        Trial(f"{n:012x}", {"epochs": 1, **{a: (n * 40503 >> k) & 1 for k, a in enumerate(axes)}})
        for n in range(64)
    ]
    told: list[Event] = [{**RUN, "axes": axes}, program("p")]
    for number, trial in enumerate(trials):  # axis_00 decides
        told += [begin(trial, "p"), epoch(trial, 1, number % 2), end(trial)]
    made = Material(results(told))
    for section in (heat_maps(made), parallel_coordinates(made)):
        assert "The 12 most important axes of 14." in text(section)
    assert len({r["axis"] for r in charts(parallel_coordinates(made))[0]["data"]["values"]}) == 12


def test_effects_begin_with_the_most_important(material: Material) -> None:
    section = effects(material)
    titles = [spec["title"] for spec in charts(section)[1:]]
    first = titles[0] if isinstance(titles[0], str) else titles[0]["text"]
    assert material.importance is not None
    assert first == next(iter(material.importance.of)).replace("_", " ")
    assert "permutation_importance" in text(section)


def test_few_trials_have_no_importance(read: Read) -> None:
    section = effects(Material(read(made_up_run.seeds())))
    assert "takes 20 measured trials of different accuracy, here are 6" in text(section)


def test_seeds(read: Read) -> None:
    [spec] = charts(seeds(Material(read(made_up_run.seeds()))))
    assert spec["data"]["values"] == [
        {"x": "units=16", "low": 0.8, "middle": 0.9, "high": 1.0, "n": 3},
        {"x": "units=8", "low": 0.5, "middle": 0.6, "high": 0.7, "n": 3},
    ]


def test_the_fit_is_counted(material: Material) -> None:
    [table] = [part for part in fit(material).parts if isinstance(part, Table)]
    assert dict(table.rows) == {"fits": "46", "collapsed": "1", "diverged": "1"}


def test_layers_of_the_best(material: Material) -> None:
    tables = [part for part in architecture(material).parts if isinstance(part, Table)]
    assert len(tables) == 3
    first, *_, last = tables[0].rows
    assert first[1].startswith("Conv")
    assert last[1] == "all"


def test_weights_on_the_image_are_pictures_of_it(material: Material) -> None:
    [spec] = charts(weights(material))
    assert [row["name"] for row in spec["data"]["values"]] == [str(n) for n in range(10)]
    assert "10 units of the dense layer" in text(weights(material))


def test_confusion_counts_test_examples(material: Material, dataset: Dataset) -> None:
    section = confusion(material)
    heat, wrong = charts(section)
    counts = {(r["y"], r["x"]): r["value"] for r in heat["data"]["values"]}
    assert sum(counts.values()) == len(dataset.test)
    assert sum(n for (true, taken), n in counts.items() if true != taken) == made_up_run.WRONG
    assert len(wrong["data"]["values"]) == made_up_run.WRONG
    labels = dataset.test.labels[: made_up_run.WRONG]
    expected = {f"{label} → {(label + 1) % 10}" for label in labels}
    assert {row["name"] for row in wrong["data"]["values"]} == expected
    assert text(section).startswith("Trial ")


def test_seconds_of_a_program_are_its_phases(material: Material) -> None:
    bars, steps, roof = charts(timing(material))
    first = {r["part"]: r["x"] for r in bars["data"]["values"] if r["y"] == "00000000"}
    assert first == {"compile": 3.0, "input": 2.0, "train": 10.05, "evaluate": 2.0}
    assert {(r["x"], r["y"]) for r in steps["data"]["values"]} == {(16, 35.0)}
    # 4 GFLOP over 0.4 GB are 10 FLOP a byte.
    assert [row["x"] for row in roof["data"]["values"]] == [10.0]


def test_of_the_data_only_that_which_was_learned(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_run.write(tmp_path, dataset)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "data": {"limit": 200}}))
    found = gather(tmp_path, Results.read(tmp_path))
    assert found.dataset is None
    assert found.trained is not None
    assert "its fingerprint is" in text(confusion(found))
    (tmp_path / "config.json").write_text(json.dumps({**config, "data": {"colour": 1}}))
    assert "options of data that are not known" in gather(tmp_path, Results()).missing
    # What is at hand is not loaded again.
    monkeypatch.setattr("bench.report.material.load", None)
    assert gather(tmp_path, Results(), dataset).dataset is dataset


def test_weights_need_no_config_and_no_data(tmp_path: Path, dataset: Dataset) -> None:
    made_up_run.write(tmp_path, dataset)
    (tmp_path / "config.json").unlink()
    found = gather(tmp_path, Results.read(tmp_path))
    assert charts(weights(found))
    assert "cannot read" in text(confusion(found))


def test_predictions_of_other_examples_are_not_believed(
    material: Material, dataset: Dataset
) -> None:
    other = made_up_run.trained(dataset, Trial.create({}, {}))
    for predictions in (other.test_predictions[:-1], other.test_predictions - 1):
        odd = type(other)(**{**vars(other), "test_predictions": predictions})
        found = Material(material.results, trained=odd, dataset=dataset)
        assert "of other test examples" in text(confusion(found))


def test_a_first_layer_that_is_inside_is_no_picture(material: Material, dataset: Dataset) -> None:
    whole = made_up_run.trained(dataset, Trial.create({}, {}))
    for array, words in (
        (np.ones((3, 3, 1, 24), np.float32), "24 filters of the first convolution"),
        (np.ones((5, 3), np.float32), "No weights"),
        (np.ones(3, np.float32), "No weights"),
    ):
        odd = type(whole)(**{**vars(whole), "weights": {"layers/0/kernel": array}})
        assert words in text(weights(Material(material.results, trained=odd)))


_TRIAL = Trial.create({"epochs": 3}, {})
_OLD = {k: v for k, v in RUN.items() if k in ("event", "data")}
PARTIAL = {
    "nothing": [],
    "begun": [RUN],
    "compiled": [RUN, program("p")],
    "waiting": [RUN, program("p"), begin(_TRIAL, "p")],
    "running": [RUN, program("p"), begin(_TRIAL, "p"), epoch(_TRIAL, 1, 0.5)],
    "one": [RUN, program("p"), begin(_TRIAL, "p"), epoch(_TRIAL, 1, 0.5), end(_TRIAL), FINISH],
    "failed": [RUN, program("p"), *failed(_TRIAL, "too large")],
    "no test set": [{**RUN, "data": {"valid": 0}}, program("p"), begin(_TRIAL, "p"),
                    epoch(_TRIAL, 1, 0.5, test_loss=None, test_accuracy=None, valid_loss=None,
                          valid_accuracy=None)],
    "old": [_OLD, *sweep()[1:]],
    "cut": sweep()[:200],
    "seeds": made_up_run.seeds(),
    "perfect": [RUN, program("p"), begin(_TRIAL, "p"), epoch(_TRIAL, 1, 1.0), end(_TRIAL), PEAKS],
}  # fmt: skip


@pytest.mark.parametrize("name", PARTIAL)
def test_a_part_of_a_run_is_reported(name: str, read: Read, tmp_path: Path) -> None:
    """Every section says something, and every chart of it can be drawn."""
    found = gather(tmp_path, read(PARTIAL[name]))
    for section in package.sections(found):
        assert section.parts, section.title
        assert all(not isinstance(part, str) or part for part in section.parts)
    shown = pictures(found)
    for spec in shown.values():
        json.dumps(spec, allow_nan=False)
    if name in ("no test set", "seeds"):
        assert all(svg(spec).startswith("<svg") for spec in shown.values())


def test_what_did_not_complete_is_listed(material: Material) -> None:
    [table] = [part for part in incomplete(material).parts if isinstance(part, Table)]
    assert {row[2] for row in table.rows} == {"diverged", "pruned", "running"}
    whole = Material(results(PARTIAL["one"]))
    assert incomplete(whole).parts == ("Every trial completed.",)
