import pytest

from bench.report import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "0 s"),
        (0.0034, "3.4 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 0 s"),
        (72, "1 min 12 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (100_000, "27 h 47 min"),
    ],
)
def test_durations_in_units_that_suit_them(value: float | None, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.3, "0 s"), (5.2, "5 s"), (59.7, "1 min 0 s"), (72, "1 min 12 s")]
)
def test_a_clock_shows_whole_seconds(value: float, text: str) -> None:
    assert units.whole_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0.01234, "0.0123"),
        (24, "24.0"),
        (99.97, "100"),
        (1234.5, "1,234"),
        (0, "0.00"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert units.number(value) == text


def test_a_percentage_has_the_decimals_its_examples_can_tell_apart() -> None:
    assert units.percent(0.98765, 336) == "98.8 %"
    assert units.percent(0.98765, 10_000) == "98.77 %"
    assert units.percent(None, 336) == "unknown"


def test_sizes() -> None:
    assert [units.size(v) for v in (None, 512, 3.5 * 2**20, 139 * 2**30)] == [
        "unknown", "512 B", "3.5 MiB", "139 GiB",
    ]  # fmt: skip


def test_settings() -> None:
    assert [units.setting(v) for v in (None, 0.0123456, 16, (8, 16), "adam", True)] == [
        "–", "0.01235", "16", "8, 16", "adam", "True",
    ]  # fmt: skip
