"""Charts are data: what they hold is held against numbers worked out by hand, and each of them is drawn."""

import io
import json
import math
import re
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.report.charts import (
    Field,
    bars,
    heat_map,
    lines,
    parallel,
    pareto,
    pictures,
    scatter,
    scatter_with_regression,
    spread,
    svg,
)
from bench.report.charts.fields import leveled, over_decade
from bench.report.charts.front import front
from bench.report.charts.regression import regression
from bench.report.charts.roofline import roofline
from bench.report.charts.spec import sample, thinned, ticks

RATE = Field("rate", "learning rate", log=True)
ACCURACY = Field("accuracy", "validation accuracy", percent=True)
# Ten percent more for each decade of the rate.
ROWS = [
    {"trial": "a", "rate": 0.001, "accuracy": 0.5, "optimizer": "adam", "units": 8},
    {"trial": "b", "rate": 0.01, "accuracy": 0.6, "optimizer": "sgd", "units": 16},
    {"trial": "c", "rate": 0.1, "accuracy": 0.7, "optimizer": "adam", "units": 16},
    {"trial": "d", "rate": 0.1, "accuracy": None, "optimizer": "sgd", "units": 8},
]
STRANGE = "</script><b>\"'\\ a.b[0] {{data}} é\u2028"


def data(spec: dict[str, Any], layer: int | None = None) -> list[dict[str, Any]]:
    return (spec if layer is None else spec["layer"][layer])["data"]["values"]


def test_a_regression_is_over_the_decades_of_a_logarithmic_axis() -> None:
    spec = scatter_with_regression(ROWS, RATE, ACCURACY, "Rate", "trial")
    assert data(spec)[0] == {"x": 0.001, "y": 0.5, "name": "a"}
    assert [row["y"] for row in data(spec)] == [0.5, 0.6, 0.7, None]
    [low, high] = data(spec, 1)
    assert low == {"x": 0.001, "y": pytest.approx(0.5)}
    assert high == {"x": 0.1, "y": pytest.approx(0.7)}
    assert spec["title"]["subtitle"] == "+20 points from 0.001 to 0.1, R² 1.00"
    assert spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_means_stand_where_rows_share_a_value() -> None:
    spec = scatter_with_regression([*ROWS, *ROWS], "optimizer", ACCURACY)
    assert data(spec, 1) == [
        {"x": "adam", "y": pytest.approx(0.6), "n": 4},
        {"x": "sgd", "y": pytest.approx(0.6), "n": 2},
    ]
    assert spec["layer"][0]["encoding"]["x"]["sort"] == ["adam", "sgd"]


@given(
    st.lists(st.tuples(st.floats(0.001, 100), st.floats(-10, 10)), min_size=3, max_size=30),
    st.booleans(),
)
def test_a_regression_is_that_of_numpy(points: list[tuple[float, float]], log: bool) -> None:
    xs, ys = (np.array(side) for side in zip(*points, strict=True))
    found = regression(xs.tolist(), ys.tolist(), log)
    places = np.log10(xs) if log else xs
    if np.ptp(places) < 1e-3:
        return
    assert found is not None
    slope, intercept = np.polyfit(places, ys, 1)
    assert found[:2] == pytest.approx((intercept, slope), rel=1e-5, abs=1e-5)
    assert -1e-9 <= found[2] <= 1 + 1e-9


def test_two_points_and_one_place_have_no_line() -> None:
    assert regression([1, 2], [1, 2]) is None
    assert regression([1, 1, 1], [1, 2, 3]) is None


def test_a_heat_map_holds_means_and_counts() -> None:
    spec = heat_map([*ROWS, {**ROWS[0], "accuracy": 0.9}], "units", "optimizer", ACCURACY)
    assert data(spec) == [
        {"x": "8", "y": "adam", "value": 0.7, "n": 2},
        {"x": "16", "y": "sgd", "value": 0.6, "n": 1},
        {"x": "16", "y": "adam", "value": 0.7, "n": 1},
    ]
    assert spec["encoding"]["x"]["sort"] == ["8", "16"]  # by number, not by letter


def test_many_numbers_become_ranges() -> None:
    rows = [{"x": 10.0**-n, "y": n} for n in range(17)]
    levels, order = leveled(Field("x", log=True), rows)
    assert len(order) == 8
    assert levels[0] == order[-1] == "0.01 – 1"
    assert levels[-1] == order[0]
    assert [levels.count(level) for level in order] == [2] * 7 + [3]
    levels, order = leveled(Field("x"), [{"x": n} for n in [*range(17), None]])
    assert order[0] == "0 – 2"
    assert levels[-1] == order[-1] == "unknown"


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5), st.floats(-1e9, 1e9)), max_size=40))
def test_every_value_has_a_level(values: list[float | None]) -> None:
    levels, order = leveled(Field("x", log=True), [{"x": value} for value in values])
    assert len(levels) == len(values)
    assert set(levels) <= set(order)
    assert len(set(order)) == len(order)


def test_the_front_is_what_none_beats() -> None:
    rows = [{"s": s, "accuracy": a} for s, a in ((3, 0.9), (1, 0.5), (2, 0.4), (1, 0.6), (4, 0.9))]
    spec = pareto(rows, "s", ACCURACY)
    assert [(row["x"], row["y"]) for row in data(spec, 1)] == [(1, 0.6), (3, 0.9)]
    assert len(data(spec)) == 5


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_a_front_by_its_definition(points: list[tuple[int, int]]) -> None:
    rows = [{"x": x, "y": y} for x, y in points]
    found = {(row["x"], row["y"]) for row in front(rows)}

    def beaten(x: int, y: int) -> bool:
        return any((a <= x and b >= y) and (a, b) != (x, y) for a, b in points)

    assert found == {(x, y) for x, y in points if not beaten(x, y)}


def test_a_spread_is_least_median_greatest() -> None:
    rows = [{"s": "one", "accuracy": a} for a in (0.1, 0.5, 0.2)]
    rows += [{"s": "two", "accuracy": a} for a in (0.7, 0.9)]
    spec = spread(rows, "s", ACCURACY)
    assert data(spec) == [
        {"x": "two", "low": 0.7, "middle": 0.8, "high": 0.9, "n": 2},
        {"x": "one", "low": 0.1, "middle": 0.2, "high": 0.5, "n": 3},
    ]


def test_lines_beyond_the_first_six_are_gray_and_below() -> None:
    rows = [{"epoch": e, "loss": e + n, "trial": f"t{n}"} for n in range(9) for e in (1, 2)]
    spec = lines(rows, "epoch", "loss", "trial")
    color = spec["encoding"]["color"]
    assert color["legend"]["values"] == [f"t{n}" for n in range(6)]
    assert len(set(color["scale"]["range"][:6])) == 6
    assert set(color["scale"]["range"][6:]) == {"rgba(140, 149, 159, 0.5)"}
    assert data(spec)[0]["series"] == "t8"
    assert data(spec)[-1] == {"x": 2, "y": 2, "series": "t0"}


def test_parallel_coordinates_go_from_the_least_to_the_greatest() -> None:
    spec = parallel(ROWS, [RATE, "optimizer"], ACCURACY, "", "trial")
    places = {(row["name"], row["axis"]): row["y"] for row in data(spec)}
    assert [name for name, _ in places][::-1][0] == "c"  # the best lies on top
    assert ("d", "optimizer") not in places  # what has no accuracy is no line
    # 0.01 is in the middle of its decades; lines that share a place lie a little apart.
    assert places["b", "learning rate"] == pytest.approx(0.5, abs=0.031)
    assert data(spec, 1)[:3] == [
        {"axis": "learning rate", "y": 0.0, "text": "0.001"},
        {"axis": "learning rate", "y": 0.5, "text": "0.01"},
        {"axis": "learning rate", "y": 1.0, "text": "0.1"},
    ]


def test_bars_are_parts_in_their_order() -> None:
    rows = [{"p": "x", "s": 2.0, "k": "train"}, {"p": "x", "s": 1.0, "k": "compile"}]
    spec = bars(rows, "p", "s", "k")
    assert data(spec)[1] == {"x": 1.0, "y": "x", "part": "compile", "place": 1}
    assert spec["encoding"]["color"]["sort"] == ["train", "compile"]


def test_a_roof_bends_where_both_peaks_meet() -> None:
    rows = [{"program": "p", "intensity": 2.0, "gflops_per_s": 30.0}]
    spec = roofline(rows, 400e9, 20e9)
    left, ridge, right = data(spec, 0)
    assert ridge == {"x": 20.0, "y": 400.0}
    assert left["y"] == pytest.approx(20 * left["x"])
    assert right["y"] == 400.0
    assert data(spec) == [{"x": 2.0, "y": 30.0, "name": "p"}]


def picture(row: dict[str, Any]) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(b64decode(row["url"].partition(",")[2]))))


def test_pictures_share_a_scale_with_zero_in_its_middle() -> None:
    spec = pictures([np.array([[-1.0, 0.0]]), np.array([[0.5, np.nan]])], ["a", "b"], signed=True)
    one, other = map(picture, data(spec))
    assert one.shape == (36, 72)  # whole pixels
    assert (one[0, 0], one[0, -1]) == (0, 128)
    assert other[0, 0] == round(127.5 * 1.5)
    assert [row["name"] for row in data(spec)] == ["a", "b"]


def test_bytes_are_shown_as_they_are() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    [row] = data(pictures([image], side=3))
    assert (picture(row) == image).all()


def test_marks_of_a_logarithmic_axis_are_round() -> None:
    assert ticks(0.0003, 0.02) == [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
    assert ticks(0.0001, 0.3) == [0.0001, 0.001, 0.01, 0.1]
    assert ticks(1.4, 3.3) == [1.5, 2.0, 2.5, 3.0]


def test_a_sample_has_the_first_and_is_the_same_every_time() -> None:
    chosen = sample(10_000, 40)
    assert chosen[:10] == list(range(10))
    assert chosen == sorted(set(chosen)) == sample(10_000, 40)
    assert len(chosen) == 40
    assert sample(5, 40) == [0, 1, 2, 3, 4]
    spec = thinned(scatter([{"a": n, "b": n} for n in range(100)], "a", "b"), 8)
    assert [row["x"] for row in data(spec)][:2] == [0, 1]
    assert len(data(spec)) == 8


def test_what_spreads_over_a_decade() -> None:
    assert over_decade([1, 10])
    assert not over_decade([1, 9.9])
    assert not over_decade([0, 100])
    assert not over_decade(["adam", None])


DRAWN = {
    "scatter": scatter(ROWS, RATE, ACCURACY, "", "trial", "optimizer"),
    "regression": scatter_with_regression(ROWS, RATE, ACCURACY, "Rate", "trial"),
    "names": scatter_with_regression(ROWS, "optimizer", ACCURACY, "Optimizer"),
    "pareto": pareto(ROWS, "units", ACCURACY),
    "spread": spread(ROWS, "optimizer", ACCURACY),
    "heat": heat_map(ROWS, RATE, "optimizer", ACCURACY, scale="sqrt"),
    "lines": lines(ROWS, "units", ACCURACY, "trial", "Curves", "optimizer"),
    "parallel": parallel(ROWS, [RATE, "optimizer", "units"], ACCURACY),
    "bars": bars(ROWS, "trial", "units", "optimizer"),
    "pictures": pictures([np.eye(3), np.ones((3, 3))]),
    "roofline": roofline([{"program": "p", "intensity": 2.0, "gflops_per_s": 3.0}], 4e11, 2e10),
}
EMPTY = {
    "scatter": scatter([], "x", "y"),
    "regression": scatter_with_regression([], RATE, ACCURACY),
    "pareto": pareto([], "x", "y"),
    "spread": spread([], "x", "y"),
    "heat": heat_map([], "x", "y", "z"),
    "lines": lines([], "x", "y", "s"),
    "parallel": parallel([], ["a"], "b"),
    "bars": bars([], "x", "y"),
    "pictures": pictures([]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_each_is_drawn(name: str) -> None:
    spec = DRAWN[name]
    json.dumps(spec, allow_nan=False)
    text = svg(spec)
    assert text.startswith("<svg")
    assert re.search(
        r'aria-roledescription="(point|circle|line mark|rect|bar|image|rule|symbol)', text
    )


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_is_drawn_as_nothing(name: str) -> None:
    assert svg(EMPTY[name]).startswith("<svg")


def test_strange_names_and_keys_are_text() -> None:
    rows = [{STRANGE: STRANGE, "y": 1.0}, {STRANGE: "other", "y": math.inf}]
    spec = scatter(rows, STRANGE, "y", STRANGE)
    assert data(spec) == [
        {"x": STRANGE.replace("\u2028", "?"), "y": 1.0},
        {"x": "other", "y": None},
    ]
    text = svg(spec)
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
