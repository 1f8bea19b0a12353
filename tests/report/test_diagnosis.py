import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.record import TrialRecord
from bench.report.diagnosis import diagnosis
from bench.trial import Trial

CHANCE = math.log(10)
NAMES = {"collapsed", "diverged", "underfitting", "overfitting", "fits", "unknown"}


def record(train: float | None, test: float | None, **about: Any) -> TrialRecord:
    metrics = {"train_loss": train, "test_loss": test}
    return TrialRecord(Trial("0" * 12, {}), "p", 1, metrics=metrics, **about)


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        (0.51 * CHANCE, 0.51 * CHANCE, "underfitting"),
        (
            0.51 * CHANCE,
            9.0,
            "underfitting",
        ),  # it has not learned what it could have learned too well
        (0.49 * CHANCE, 0.5 * CHANCE, "fits"),
        (0.0001, 0.02, "fits"),  # 200 times, of next to nothing
        (0.0001, 0.12, "overfitting"),
        (0.2, 0.31, "fits"),  # over 1.5 times, and yet near: 0.048 of chance
        (0.2, 0.33, "overfitting"),
        (1.0, 1.2, "fits"),  # 0.087 of chance, and yet 1.2 times alone
        (None, 1.0, "unknown"),
        (1.0, None, "unknown"),
    ],
)
def test_the_rule(train: float | None, test: float | None, found: str) -> None:
    assert diagnosis(record(train, test), 10) == found


def test_what_ended_badly_is_told_first() -> None:
    assert diagnosis(record(None, None, status="diverged", collapsed=True), 10) == "diverged"
    assert diagnosis(record(0.0, 0.0, collapsed=True), 10) == "collapsed"
    assert diagnosis(record(None, None, status="failed"), 10) == "unknown"
    assert diagnosis(record(1.0, 1.0), 1) == diagnosis(record(1.0, 1.0), 0) == "unknown"


@given(st.floats(0, 100), st.floats(0, 100), st.integers(2, 1000))
def test_it_is_one_of_six_and_more_test_loss_never_fits_better(
    train: float, test: float, classes: int
) -> None:
    found = diagnosis(record(train, test), classes)
    assert found in NAMES
    if found == "overfitting":
        assert diagnosis(record(train, test + 1), classes) == "overfitting"
