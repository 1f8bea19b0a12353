import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.space import (
    Axis,
    Choice,
    Distribution,
    axis,
    choice,
    draw,
    grid,
    log_uniform,
    parse_axis,
    qlog_uniform,
    quniform,
    uniform,
)

DRAWN = settings(deadline=None, max_examples=100, database=None)

LITERALS = st.recursive(
    st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.booleans()
    | st.none(),
    lambda inner: st.tuples(inner) | st.tuples(inner, inner),
    max_leaves=4,
)
NUMBER = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)


@st.composite
def distributions(drawn: Any) -> Distribution:
    """With at most 10⁵ steps, as anyone would write one."""
    log = drawn(st.booleans())
    low = drawn(st.integers(1, 50) | st.floats(1e-6, 100) if log else NUMBER)
    high = low + drawn(st.integers(1, 500) | st.floats(1e-2, 1e3))
    size = high - low
    step = drawn(st.just(0) | st.integers(1, 50) | st.floats(size / 1e5, 1.5 * size))
    return Distribution(low, high, log, step)


AXES = st.lists(LITERALS, min_size=1, max_size=5).map(lambda v: Choice(tuple(v))) | distributions()


def value(of: Axis, index: int, seed: int = 0) -> Any:
    return draw({"x": of}, seed, index)["x"]


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_axis(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Grid


def test_a_grid_in_order_the_last_axis_fastest() -> None:
    found = list(grid({"a": choice(1, 2), "b": choice("x", "y", "z")}))
    assert found == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 1, "b": "z"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
        {"a": 2, "b": "z"},
    ]


def test_a_grid_without_axes_is_one_point() -> None:
    assert list(grid({})) == [{}]


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4, unique=True), max_size=4))
@DRAWN
def test_a_grid_holds_every_combination_once(sides: list[list[int]]) -> None:
    space = {f"a{i}": Choice(tuple(side)) for i, side in enumerate(sides)}
    found = [tuple(point.values()) for point in grid(space)]
    assert len(found) == len(set(found)) == math.prod(map(len, sides))
    assert set(found) == set(itertools.product(*sides))
    assert all(list(point) == list(space) for point in grid(space))


@pytest.mark.parametrize(
    "spread", [uniform(0, 1), log_uniform(1, 2), quniform(0, 8, 2), qlog_uniform(1, 9, 2)]
)
def test_a_grid_over_a_distribution_is_refused(spread: Distribution) -> None:
    with pytest.raises(ConfigError, match="a grid cannot enumerate units=") as caught:
        grid({"features": choice(8, 16), "units": spread})
    assert str(spread) in str(caught.value)
    assert "method=random" in str(caught.value)


# Draws


@given(distributions(), st.integers(0, 2**63), st.integers(0, 10**6))
@DRAWN
def test_draws_lie_within_the_bounds_and_on_the_lattice(
    spread: Distribution, seed: int, index: int
) -> None:
    found = value(spread, index, seed)
    assert spread.low <= found <= spread.high
    assert found == value(spread, index, seed), "the same seed and index, another value"
    if spread.step:
        steps = (found - spread.low) / spread.step
        off = abs(steps - round(steps)) * spread.step
        assert off <= 1e-9 * max(abs(spread.low), abs(spread.high), 1)
    if spread.step and isinstance(spread.low, int) and isinstance(spread.step, int):
        assert found == int(found)


def test_a_choice_draws_each_value_as_often() -> None:
    n, values = 2000, (3, "a", None, (1, 2))
    counts = Counter(value(Choice(values), i) for i in range(n))
    assert set(counts) == set(values)
    assert all(abs(count - n / 4) < 5 * math.sqrt(n * 3 / 16) for count in counts.values())


# By hand: the lattice that each expression means, the end that no multiple reaches included.
@pytest.mark.parametrize(
    ("text", "lattice"),
    [
        ("quniform(0, 10, 5)", [0, 5, 10]),
        ("quniform(16, 64, 8)", [16, 24, 32, 40, 48, 56, 64]),
        ("quniform(0, 10, 4)", [0, 4, 8]),
        ("quniform(0, 7, 4)", [0, 4]),
        ("quniform(1, 2, 5)", [1]),
        ("quniform(-3, 0, 1)", [-3, -2, -1, 0]),
        ("quniform(0.1, 0.3, 0.1)", [0.1, 0.2, 0.3]),
        ("quniform(0.0, 0.5, 0.25)", [0, 0.25, 0.5]),
    ],
)
def test_quantised_values_are_equally_likely(text: str, lattice: list[float]) -> None:
    n = 3000
    found = [value(parse_axis(text), i) for i in range(n)]
    assert max(found) <= parse_axis(text).high, "0.1 + 2 · 0.1 > 0.3"
    counts = Counter(round(v, 9) for v in found)
    assert sorted(counts) == lattice
    # Each count is binomial; five standard deviations either side.
    share = 1 / len(lattice)
    margin = 5 * math.sqrt(n * share * (1 - share)) + 1e-9
    assert all(abs(count - n * share) <= margin for count in counts.values()), counts


@pytest.mark.parametrize(
    ("spread", "lattice"),
    [(qlog_uniform(1, 8, 1), range(1, 9)), (qlog_uniform(2, 17, 4), range(2, 17, 4))],
)
def test_quantised_logarithmic_values_are_all_reached(spread: Distribution, lattice: range) -> None:
    counts = Counter(value(spread, i) for i in range(2000))
    assert sorted(counts) == list(lattice)
    assert counts[lattice[1]] > counts[lattice[-2]], "small values are the likelier"


@pytest.mark.parametrize(
    ("spread", "scale"),
    [(uniform(-2, 5), lambda x: x), (log_uniform(1e-4, 1e-1), math.log)],
)
def test_values_are_uniform_on_their_scale(spread: Distribution, scale: Any) -> None:
    """Kolmogorov and Smirnov's distance; 1.95 / √n is passed by one sample in a thousand."""
    n = 2000
    found = np.sort([scale(value(spread, i, seed=7)) for i in range(n)])
    low, high = scale(spread.low), scale(spread.high)
    expected = (found - low) / (high - low)
    ranks = np.arange(n)
    distance = max(np.max((ranks + 1) / n - expected), np.max(expected - ranks / n))
    assert distance < 1.95 / math.sqrt(n)


def test_draws_differ_by_seed_index_and_axis() -> None:
    space = {"a": uniform(0, 1), "b": uniform(0, 1)}
    found = [v for seed in range(5) for i in range(20) for v in draw(space, seed, i).values()]
    assert len(set(found)) == len(found) == 200


# Text


@given(AXES)
@DRAWN
def test_an_axis_prints_as_the_expression_that_makes_it(drawn: Axis) -> None:
    assert parse_axis(str(drawn)) == drawn
    assert axis(str(drawn)) == drawn
    assert parse_axis(f"  {drawn}\n") == drawn


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("(8, 16)", Choice((8, 16))),
        ("[8, 16]", Choice((8, 16))),
        ("8, 16", Choice((8, 16))),
        ("0.5", Choice((0.5,))),
        ("-1", Choice((-1,))),
        ("adam", Choice(("adam",))),
        ("'adam'", Choice(("adam",))),
        ("'uniform(0, 1)'", Choice(("uniform(0, 1)",))),
        ("(adam, sgd)", Choice(("adam", "sgd"))),
        ("(adam, 'sgd', 3)", Choice(("adam", "sgd", 3))),
        ("((1, 2), [3])", Choice(((1, 2), (3,)))),
        ("(True, False)", Choice((True, False))),
        ("choice(1)", Choice((1,))),
        ("choice((1, 2), 3)", Choice(((1, 2), 3))),
        ("uniform(0, 1)", Distribution(0, 1)),
        ("uniform(low=0, high=1)", Distribution(0, 1)),
        ("log_uniform(1e-4, 1e-1)", Distribution(1e-4, 1e-1, log=True)),
        ("quniform(16, 128, 8)", Distribution(16, 128, step=8)),
        ("qlog_uniform(1, 9, 2)", Distribution(1, 9, log=True, step=2)),
    ],
)
def test_parse_axis(text: str, meant: Axis) -> None:
    assert parse_axis(text) == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ((8, 16), Choice((8, 16))),
        ([8, [1, 2]], Choice((8, (1, 2)))),
        (3, Choice((3,))),
        (None, Choice((None,))),
        ("adam", Choice(("adam",))),
        ("log_uniform(1, 2)", log_uniform(1, 2)),
        (uniform(0, 1), uniform(0, 1)),
        (np.arange(8, 33, 8), Choice((8, 16, 24, 32))),
        (tuple(np.array([0.5, 1.5])), Choice((0.5, 1.5))),
        (np.float32(0.5), Choice((0.5,))),
    ],
)
def test_axis_of_what_a_config_may_hold(given: Any, meant: Axis) -> None:
    assert axis(given) == meant
    assert parse_axis(str(axis(given))) == meant


HOSTILE = [
    "",
    " ",
    "()",
    "[]",
    "choice()",
    "__import__('os')",
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "uniform.__globals__",
    "uniform.__call__(0, 1)",
    "open('/etc/passwd')",
    "lambda: 1",
    "(lambda: 1)()",
    "[x for x in (1, 2)]",
    "f'{1}'",
    "uniform(0, (lambda: 1)())",
    "uniform(0, __import__('os').getpid())",
    "uniform(0, uniform(0, 1))",
    "uniform(*(0, 1))",
    "uniform(0, 1, **{'a': 1})",
    "uniform(0, 1, **__import__('os').environ)",
    "choice(1, **{})",
    "choice(9**9**9)",
    "9**9**9",
    "'a' * 10**10",
    "(1, 9**9**9)",
    "1 if True else 2",
    "x := 3",
    "x = 3",
    "import os",
    "1; 2",
    "(1",
    "\0",
    "\ud800",
    "(" * 10_000,
    "[" * 1000 + "]" * 1000,
    "-" * 10_000 + "1",
    "+".join("1" * 20_000),
    "uniform()",
    "uniform(1)",
    "uniform(0, 1, 2)",
    "uniform(0, 1, step=1)",
    "uniform(1, 0)",
    "uniform(1, 1)",
    "uniform('a', 'b')",
    "uniform(None, 1)",
    "uniform(0, 1e999)",
    f"uniform(0, {10**400})",
    "uniform(-1e308, 1e308)",
    "uniform(0, 1j)",
    "log_uniform(0, 1)",
    "log_uniform(-1, 1)",
    "quniform(0, 1, -1)",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
def test_hostile_expressions_are_refused(text: str) -> None:
    refused(text)


@given(st.text(max_size=30) | st.text("()[]{}*,.'\"-+19aeuniform_ :=\n", max_size=40))
@settings(deadline=None, max_examples=300, database=None)
def test_any_text_is_an_axis_or_refused(text: str) -> None:
    try:
        found = parse_axis(text)
    except ConfigError:
        return
    assert isinstance(found, Choice | Distribution)


def test_an_unknown_distribution_names_the_nearest() -> None:
    assert "did you mean 'log_uniform'?" in refused("loguniform(1, 2)")
    assert "unknown distribution '__import__'" in refused("__import__('os')")


@pytest.mark.parametrize("function", [uniform, log_uniform])
@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (math.nan, 1), (0.5, math.inf), (1, 10**400)])
def test_bounds_that_bound_nothing_are_refused(function: Any, bounds: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError):
        function(*bounds)
