"""The space of a sweep that ran may grow, and only what is new is trained; any other change is refused."""

import json
import shutil

import pytest

from bench.errors import ConfigError
from bench.record import RecordError, Results
from tests.resumed import SPACE, books, interrupted, sweep

GROWN = {**SPACE, "learning_rate": (3e-3, *SPACE["learning_rate"])}


def test_a_space_grows(whole, tmp_path):
    """Values more on an axis, an axis more that starts from what was fixed: only what is new is trained."""
    there, _ = whole
    shutil.copytree(there, tmp_path / "grown")
    begun = Results.read(there).trials
    _, results = sweep(tmp_path / "grown", space=GROWN)
    assert len(results.trials) == 16
    for name, record in begun.items():
        assert results.trials[name].metrics == record.metrics
        assert results.trials[name].seconds == record.seconds  # not trained again
    _, results = sweep(tmp_path / "grown", space={**GROWN, "dropout": (0.2, 0.0)})
    assert len(results.trials) == 32
    assert {r.status for r in results.trials.values()} == {"completed", "diverged"}
    sweep(tmp_path / "fresh", space={**GROWN, "dropout": (0.2, 0.0)})
    assert books(tmp_path / "grown")[1] == books(tmp_path / "fresh")[1]  # kernels by other programs


def test_a_space_grows_in_the_middle(whole, tmp_path):
    there, _ = whole
    interrupted(tmp_path / "grown", 7)
    _, results = sweep(tmp_path / "grown", space=GROWN)
    assert len(results.trials) == 16
    for name, record in Results.read(there).trials.items():
        assert results.trials[name].metrics == record.metrics


@pytest.mark.parametrize(
    ("space", "changes", "words"),
    [
        ({**SPACE, "kernel": (3,)}, {}, "space.kernel: 'choice(1, 3)' there, 'choice(3)' here"),
        (SPACE, {"trial": {"epochs": 4}}, "trial.epochs: 3 there, 4 here"),
        (GROWN, {"trial": {"features": 5}}, "trial.features: 4 there, 5 here"),
        (SPACE, {"precision": "float32"}, "precision: 'float64' there, 'float32' here"),
        (SPACE, {"search": {"trials": 5}}, "search.trials: 0 there, 5 here"),
    ],
)
def test_any_other_change_is_refused_by_name(whole, tmp_path, space, changes, words):
    there, _ = whole
    before = (there / "journal.jsonl").read_bytes()
    with pytest.raises(ConfigError) as caught:
        sweep(there, space=space, changes=changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (there / "journal.jsonl").read_bytes() == before


def test_other_windows_are_refused_and_the_fix_is_named(whole):
    there, _ = whole
    before = (there / "journal.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="holds a run with --curve_every=4; give the same, or"):
        sweep(there, curve_every=0)
    assert (there / "journal.jsonl").read_bytes() == before


def test_a_newer_schema_is_refused(whole, tmp_path):
    there, _ = whole
    shutil.copytree(there, tmp_path / "newer")
    config = json.loads((there / "config.json").read_text())
    (tmp_path / "newer" / "config.json").write_text(json.dumps({**config, "schema": 99}))
    with pytest.raises(RecordError, match=r"is of schema 99, this Convoy knows up to \d+: upgrade"):
        sweep(tmp_path / "newer")


def test_more_random_trials(tmp_path):
    """The first of them are the same trials, and are not trained again; fewer are refused."""

    def search(trials):
        random = {"method": "random", "trials": trials, "seed": 3}
        return {"search": random, "axes": ["learning_rate=log_uniform(1e-4, 1e-1)"]}

    _, few = sweep(tmp_path / "run", space={}, changes=search(3))
    _, more = sweep(tmp_path / "run", space={}, changes=search(5))
    assert len(more.trials) == 5
    for name, record in few.trials.items():
        assert more.trials[name] == record
    with pytest.raises(ConfigError, match=r"search.trials: 5 there, 4 here"):
        sweep(tmp_path / "run", space={}, changes=search(4))
