"""The search space: which hyperparameters vary, and over what.

    space = {"features": (8, 16, 32), "learning_rate": log_uniform(1e-4, 1e-1)}

An axis is a tuple of values or a distribution. Both print as the expression that makes them, so a
space can be written to JSON and read back, or given on the command line:

    --axis='learning_rate=log_uniform(1e-4, 1e-1)' --axis='features=(8, 16)'
"""

import ast
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import ConfigError, nearest


@dataclass(frozen=True)
class Choice:
    """One of `values`, each as likely as another."""

    values: tuple

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError("an axis needs at least one value: choice(a, b, …) or (a, b, …)")

    def draw(self, generator: np.random.Generator) -> Any:
        return self.values[int(generator.integers(len(self.values)))]

    def __str__(self) -> str:
        return f"choice({', '.join(map(repr, self.values))})"


@dataclass(frozen=True)
class Distribution:
    """A number from `low` to `high`, uniform in itself or in its logarithm, rounded to `step`.

    `step` 0 keeps the number continuous. Quantised values are `low`, `low + step`, … up to `high`,
    whole numbers where `low` and `step` are.
    """

    low: float
    high: float
    log: bool = False
    step: float = 0

    def __post_init__(self) -> None:
        numbers = (self.low, self.high, self.step)
        if not all(isinstance(n, int | float) and abs(n) <= 1e300 for n in numbers):
            raise ConfigError(f"{self}: bounds and step must be finite numbers, within ±1e300")
        if not self.low < self.high:
            raise ConfigError(f"{self}: the lower bound must be below the upper")
        if self.log and self.low <= 0:
            raise ConfigError(f"{self}: a log-uniform axis needs a lower bound > 0")
        if self.step < 0:
            raise ConfigError(f"{self}: the step must be > 0")

    def draw(self, generator: np.random.Generator) -> float:
        # A quantised axis draws from cells of equal width around its values, so that the first and the
        # last are as likely as the others.
        low, high = self.low, self.high
        if self.step and not self.log:
            low, high = low - self.step / 2, low + (self._last + 0.5) * self.step
        if self.log:
            value = math.exp(generator.uniform(math.log(low), math.log(high)))
        else:
            value = generator.uniform(low, high)
        return self._quantised(value)

    def _quantised(self, value: float) -> float:
        if not self.step:
            return min(max(value, self.low), self.high)
        steps = round((value - self.low) / self.step)
        return min(self.low + min(max(steps, 0), self._last) * self.step, self.high)

    @property
    def _last(self) -> int:
        """How many steps above `low` the last quantised value is."""
        return math.floor((self.high - self.low) / self.step + 1e-9)

    def __str__(self) -> str:
        name = ("q" if self.step else "") + ("log_uniform" if self.log else "uniform")
        numbers = (self.low, self.high, self.step) if self.step else (self.low, self.high)
        return f"{name}({', '.join(map(repr, numbers))})"


Axis = Choice | Distribution


def choice(*values: Any) -> Choice:
    """One of `values`."""
    return Choice(tuple(map(_plain, values)))


def uniform(low: float, high: float) -> Distribution:
    """A number, every one in [low, high] as likely."""
    return Distribution(low, high)


def log_uniform(low: float, high: float) -> Distribution:
    """A number whose logarithm is uniform: for learning rates and other scales."""
    return Distribution(low, high, log=True)


def quniform(low: float, high: float, step: float) -> Distribution:
    """low, low + step, … up to high: `quniform(16, 128, 8)` draws a number of filters."""
    return Distribution(low, high, step=step)


def qlog_uniform(low: float, high: float, step: float) -> Distribution:
    """As `log_uniform`, rounded to low + a multiple of `step`."""
    return Distribution(low, high, log=True, step=step)


_CALLS = {f.__name__: f for f in (choice, uniform, log_uniform, quniform, qlog_uniform)}


def axis(value: Any) -> Axis:
    """An axis from what a config may hold: an axis, a tuple or list, one value, or an expression's text.

    Raises:
        ConfigError: an empty tuple, or a text that cannot be read.
    """
    if isinstance(value, Axis):
        return value
    if isinstance(value, str):
        return parse_axis(value)
    value = _plain(value)
    return Choice(value if isinstance(value, tuple) else (value,))


def _plain(value: Any) -> Any:
    """`value` without lists and NumPy's types, which do not print as the literals `parse_axis` reads."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def parse_axis(text: str) -> Axis:
    """The axis that `text` writes: `(8, 16)`, `0.5`, `'adam'`, `log_uniform(1e-4, 1e-1)`, `choice(1, 2)`.

    Only literals and the five functions of this module are understood; nothing is evaluated.

    Raises:
        ConfigError: anything else.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            if tree.func.id not in _CALLS:
                known = nearest(tree.func.id, _CALLS)
                raise ConfigError(f"axis {text!r}: unknown distribution {tree.func.id!r}: {known}")
            # The argument of a ** has no name; "None" is then refused by the function.
            named = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
            return _CALLS[tree.func.id](*map(ast.literal_eval, tree.args), **named)
        if isinstance(tree, ast.Name):  # --axis=optimizer=adam, quotes lost to the shell
            return Choice((tree.id,))
        if isinstance(tree, ast.Tuple | ast.List):
            return axis(
                tuple(e.id if isinstance(e, ast.Name) else ast.literal_eval(e) for e in tree.elts)
            )
        literal = ast.literal_eval(tree)
        return Choice((literal,)) if isinstance(literal, str) else axis(literal)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ConfigError(
            f"cannot read the axis {text!r}: write (8, 16, 32) or log_uniform(1e-4, 1e-1)"
        ) from error


def grid(space: Mapping[str, Axis]) -> Iterator[dict[str, Any]]:
    """Every combination of the axes' values, the last axis varying fastest.

    Raises:
        ConfigError: an axis is a continuous or quantised distribution.
    """
    for name, values in space.items():
        if not isinstance(values, Choice):
            raise ConfigError(
                f"a grid cannot enumerate {name}={values}: give values, {name}=(…), or use "
                "--config.search.method=random with --config.search.trials=N"
            )
    sides = (values.values for values in space.values() if isinstance(values, Choice))
    return (dict(zip(space, point, strict=True)) for point in itertools.product(*sides))


def draw(space: Mapping[str, Axis], seed: int, index: int) -> dict[str, Any]:
    """The `index`-th random point under `seed`: a pure function, so that nothing of it needs saving."""
    generator = np.random.Generator(np.random.PCG64((seed, index)))
    return {name: values.draw(generator) for name, values in space.items()}
