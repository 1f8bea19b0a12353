"""Checks of single values, for layers and models: each returns the value, or says what it must be."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

from bench.errors import ConfigError, nearest

Check = Callable[[str, Any], Any]  # from a name and a value to the value, or a ConfigError


def must_be(words: str, fits: Callable[[Any], bool]) -> Check:
    """A check that `fits` holds, which `words` say in the error."""

    def check(name: str, value: Any) -> Any:
        with contextlib.suppress(TypeError):  # "3" >= 1
            if fits(value):
                return value
        raise ConfigError(f"{name} must be {words}, got {value!r}")

    return check


def one_of(*known: Any) -> Check:
    """A check that the value is one of `known`."""

    def check(name: str, value: Any) -> Any:
        if value in known:
            return value
        raise ConfigError(f"unknown {name} {value!r}; {nearest(value, known)}")

    return check


def some_of(*known: Any) -> Check:
    """A check that the value, or each in a tuple of them, is one of `known`."""

    def check(name: str, value: Any) -> Any:
        for each in value if isinstance(value, tuple) and value else (value,):
            one_of(*known)(name, each)
        return value

    return check


whole = must_be("a whole number ≥ 1", lambda v: isinstance(v, int) and v >= 1)
fraction = must_be("a number in [0, 1)", lambda v: 0 <= v < 1)
positive = must_be("a finite number > 0", lambda v: 0 < v < math.inf)


def pair(name: str, value: Any) -> tuple[int, int]:
    """Rows and columns, whole numbers ≥ 1; one number stands for both."""
    rows, columns = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    return whole(name, rows), whole(name, columns)
