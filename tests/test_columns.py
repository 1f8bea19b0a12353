"""Epochs and dispatches as columns of numbers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import METRICS, Curves

DRAWN = settings(deadline=None, max_examples=40, database=None)


def rows_of(curves: Curves) -> list[tuple[Any, ...]]:
    return [(row["trial"], row["epoch"], row["valid_loss"]) for row in curves]


def test_curves_read_back_as_rows_and_as_columns() -> None:
    curves = Curves()
    for trial, loss in (("b", 0.5), ("a", None), ("b", math.inf), ("a", math.nan), ("c", 1)):
        values = {**dict.fromkeys(METRICS, 0.25), "valid_loss": loss}
        curves.append({"trial": trial, "epoch": 3, "step": 2**40, "more": "left out", **values})
    shown = [("b", 3, 0.5), ("a", 3, None), ("b", 3, None), ("a", 3, None), ("c", 3, 1)]
    assert rows_of(curves) == shown
    assert rows_of(curves) == [rows_of([curves[i]])[0] for i in range(-5, 0)]
    assert list(curves[0]) == ["trial", "epoch", "step", *METRICS]
    assert curves[0]["step"] == 2**40
    assert list(curves.column("trial")) == ["b", "a", "b", "a", "c"]
    assert list(np.isnan(curves.column("valid_loss"))) == [False, True, True, True, False]
    held = curves.column("epoch")
    curves.append({"trial": "d", "epoch": 4, "step": 5, **values})
    assert len(held) == 5
    with pytest.raises(IndexError):
        curves[6]


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.sets(st.sampled_from("abcd")))
@DRAWN
def test_the_curves_of_some_trials_are_as_if_the_others_had_not_been(
    told: list[str], trials: set[str]
) -> None:
    every, some = Curves(), Curves()
    for number, trial in enumerate(told):
        row = {"trial": trial, "epoch": number, "step": 1, **dict.fromkeys(METRICS)}
        every.append(row)
        if trial in trials:
            some.append(row)
    kept = every.of(trials)
    assert kept == some
    assert rows_of(kept) == rows_of(some)
    assert (kept == every) == (set(told) <= trials)
    for table in (kept, some):  # and they go on in the same way
        table.append({"trial": "d", "epoch": 99, "step": 1, **dict.fromkeys(METRICS)})
    assert kept == some
    assert kept != rows_of(kept)
