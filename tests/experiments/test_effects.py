"""Effects of a grid's axes: means, and slopes that are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.experiments.effects import effects
from bench.experiments.regression import Regression
from tests.experiments import made_up
from tests.experiments.made_up import accuracy

PART = "traffic.py:grid"
GRID = [
    {"units": units, "features": features, "seed": seed}
    for units in (8, 16, 32) for features in (4, 8) for seed in (0, 1)
]  # fmt: skip


@given(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05))
def test_a_plane_is_found_exactly(units, features):
    (run,) = made_up.run(
        PART, GRID,
        lambda s, _: accuracy(0.5 + units * math.log2(s["units"]) + features * math.log2(s["features"])),
    ).values()  # fmt: skip
    fit = Regression.of(list(run.results.trials.values()), ["units", "features"])
    if fit is None:
        assert abs(units) + abs(features) < 1e-6
        return
    for axis, slope in (("units", units), ("features", features)):
        assert fit.slopes[axis] == pytest.approx((slope, 0), abs=1e-7)


def test_one_axis_agrees_with_scipy():
    rng = np.random.default_rng(1)
    noise = iter(rng.normal(0, 0.02, len(GRID)))
    (run,) = made_up.run(
        PART, GRID, lambda s, _: accuracy(0.5 + 0.03 * math.log2(s["units"]) + next(noise))
    ).values()
    records = list(run.results.trials.values())
    fit = Regression.of(records, ["units"])
    x = [math.log2(r.trial["units"]) for r in records]
    theirs = stats.linregress(x, [r.metrics["test_accuracy"] for r in records])
    half = stats.t.ppf(0.975, len(x) - 2) * theirs.stderr
    assert fit.slopes["units"] == pytest.approx((theirs.slope, half))
    assert fit.r_squared == pytest.approx(theirs.rvalue**2)


def test_a_table_of_means():
    (run,) = made_up.run(
        PART, GRID,
        lambda s, _: accuracy(s["units"] / 100 + (s["features"] == 8) * 0.1, test_loss=s["units"]),
    ).values()  # fmt: skip
    found = effects(run)
    rows = {(row[0], row[1]): row[2:] for row in found.rows}
    assert rows["features", "4"][:4] == ("6", "18.7 %", "18.67", "10.0")  # 40 ms, four busy lanes
    assert rows["", "8"][:2] in {("4", "13.0 %"), ("6", "28.7 %")}
    assert rows["features", "4"][4].startswith("+10.00 ±")
    assert [row[1] for row in found.rows] == ["4", "8", "8", "16", "32"]


def test_few_trials_have_no_effects():
    (run,) = made_up.run(PART, GRID[:8], lambda *_: accuracy(0.5)).values()
    assert not effects(run).rows
    assert Regression.of(list(run.results.trials.values()), ["units"]) is None
