"""Loss against iteration: windows of steps, against plain sums and against a trial trained by itself."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.windows import Windows, parts
from tests.alone import train_alone
from tests.fused import compiled, make, planned, run, same_bits


@settings(deadline=None, max_examples=60, database=None)
@given(
    losses=st.lists(st.integers(-9, 9) | st.just(np.nan), min_size=1, max_size=60),
    microbatches=st.integers(1, 4),
    epoch=st.integers(1, 30),
    every=st.integers(1, 12),
    cut=st.integers(1, 11),
)
def test_windows_do_not_show_where_dispatches_or_epochs_ended(
    losses: list[float], microbatches: int, epoch: int, every: int, cut: int
) -> None:
    """Whole numbers, so that nothing passes for rounding."""
    found = Windows()
    sums = np.array([[loss, 2, 1, 4] for loss in losses])
    updates = -(-epoch // microbatches)  # an epoch's last may be of fewer iterations
    steps = np.array([i // epoch * updates + i % epoch // microbatches for i in range(len(losses))])
    for start in range(0, len(losses), cut):
        dispatch = slice(start, start + cut)
        found.add(parts(sums[dispatch], steps[dispatch], every))
    for row, window in zip(found, range(steps[-1] // every + 1), strict=True):
        inside = steps // every == window
        loss, *others = sums[inside].sum(axis=0).tolist()
        assert row["step"] == min((window + 1) * every, steps[-1] + 1)
        assert row["loss"] == (None if np.isnan(loss) else loss)
        assert [row[name] for name in ("weight", "correct", "seen")] == others


# Two batch sizes, so that a step is one iteration or two, and a short last batch; trials of fewer epochs,
# whose lanes are taken by others or lie idle; dropout, weights of classes, smoothed labels.
TRIALS = [
    {"optimizer": "sgd", "learning_rate": 0.1},
    {"batch_size": 24, "epochs": 3, "class_weights": "balanced"},
    {"batch_size": 24, "dropout": 0.3, "features": 2, "epochs": 2},
    {"label_smoothing": 0.1, "units": 3, "epochs": 1},
    {"optimizer": "momentum", "flip": True, "epochs": 3},
]


@pytest.fixture(scope="module")
def alone(digits: Any) -> dict[str, np.ndarray]:
    """Trial → (steps, 4) sums of the trial trained by itself."""
    found = {}
    for trial in map(make, TRIALS):
        told: list[list[float]] = []
        train_alone(trial, digits, told)
        found[trial.id] = np.array(told)
    return found


@pytest.mark.parametrize(
    ("strategy", "devices", "batch"),
    [("map", 1, 1), ("vmap", 2, 1), ("map", 8, 4), ("vmap:2", 1, 1)],
)
def test_losses_within_an_epoch_are_those_of_the_trial_alone(
    digits: Any, alone: dict[str, np.ndarray], strategy: str, devices: int, batch: int
) -> None:
    """And to tell them moves no parameter by a bit."""
    trials = list(map(make, TRIALS))
    # Dispatches of four iterations do not divide an epoch of six.
    plan = replace(planned(trials, digits, 2, strategy, devices // batch), steps=4)
    told: defaultdict[str, Windows] = defaultdict(Windows)

    def note(event: dict[str, Any]) -> None:
        for trial, rows in event["losses"].items():
            told[trial].add(rows)

    curved = run(compiled(plan, trials[0], digits, devices, batch, curve_every=4), trials, note)
    plain = run(compiled(plan, trials[0], digits, devices, batch), trials)
    for trial in trials:
        assert same_bits(curved[trial.id], plain[trial.id])
        assert curved[trial.id][1] == plain[trial.id][1]
        sums = alone[trial.id]
        starts = np.arange(0, len(sums), 4)
        totals = np.add.reduceat(sums, starts)
        assert list(told[trial.id].column("step")) == [*starts[1:], len(sums)]
        loss, accuracy = told[trial.id].means()
        np.testing.assert_allclose(loss, totals[:, 0] / totals[:, 1], rtol=1e-11)
        np.testing.assert_array_equal(accuracy, totals[:, 2] / totals[:, 3])
