"""What a chart shows of its rows: a key, its words, and how its values are spread and written."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import CONTROL
from bench.report import units

Row = Mapping[str, Any]
MOST_LEVELS = 12  # different numbers that stay as they are; more are put into ranges
_RANGES = 8
_DECADE = 10  # from this ratio of the greatest to the least on, only a logarithmic axis shows all


@dataclass(frozen=True)
class Field:
    """A key of the rows.

    Attributes:
        title: in words; the key's own without one.
        percent: a fraction of 1, shown in percent.
        log: on a logarithmic axis, where all values are over 0.
        order: all names that there are, as they are to stand; sorted without it.
    """

    key: str
    title: str = ""
    percent: bool = False
    log: bool = False
    order: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return clean(self.title or self.key.replace("_", " "))

    def of(self, rows: Iterable[Row]) -> list[Any]:
        """The values, plain."""
        return [plain(row.get(self.key)) for row in rows]


def clean(text: str) -> str:
    """`text` without what breaks a line: Vega's expressions, in which names get, cannot hold it."""
    return CONTROL.sub("?", text)


def as_field(field: Field | str) -> Field:
    """A key stands for itself."""
    return field if isinstance(field, Field) else Field(field)


def plain(value: Any) -> Any:
    """`value` as JSON has it, in six digits, which is more than a chart can show; not finite is None."""
    if isinstance(value, float):
        return float(f"{value:.6g}") + 0.0 if math.isfinite(value) else None  # no -0
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else plain(float(value))
    return clean(units.setting(value)) if isinstance(value, tuple | list) else plain(float(value))


def is_number(value: Any) -> bool:
    """Whether it has a place on an axis of numbers; True and False are names."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def numeric(values: Iterable[Any]) -> bool:
    """Whether all that is known is numbers, and anything is."""
    known = [value for value in values if value is not None]
    return bool(known) and all(map(is_number, known))


def over_decade(values: Iterable[Any]) -> bool:
    """Whether numbers, all over 0, are spread over a decade or more."""
    known = [value for value in values if is_number(value)]
    return bool(known) and min(known) > 0 and max(known) >= _DECADE * min(known)


def label(value: Any) -> str:
    """A value as the name of a level."""
    return units.UNKNOWN if value is None else clean(units.setting(value))


def leveled(field: Field, rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Values as few levels: names, and many different numbers as ranges, equally wide (`log`: in ratio).

    Returns:
        The level of each value, and all levels in their order.
    """
    values = field.of(rows)
    known = {value for value in values if value is not None}
    if field.order:
        order = list(field.order)
    elif not numeric(values):
        order = sorted(map(label, known))
    elif len(known) <= MOST_LEVELS:
        order = list(dict.fromkeys(label(value) for value in sorted(known)))
    else:
        return _ranges(values, field.log and min(known) > 0)
    order += [units.UNKNOWN] if None in values else []
    return [label(value) for value in values], order


def _ranges(values: Sequence[Any], log: bool) -> tuple[list[str], list[str]]:
    def scaled(value: float) -> float:
        return math.log(value) if log else float(value)

    known = [value for value in values if value is not None]
    low, high = scaled(min(known)), scaled(max(known))
    width = (high - low) / _RANGES
    edges = [low + width * number for number in range(_RANGES + 1)]
    names = [f"{math.exp(edge) if log else edge:.2g}" for edge in edges]
    order = [f"{one} – {other}" for one, other in itertools.pairwise(names)]

    def place(value: Any) -> str:
        if value is None:
            return units.UNKNOWN
        return order[min(int((scaled(value) - low) / width), _RANGES - 1)]

    levels = [place(value) for value in values]
    return levels, [*order, *([units.UNKNOWN] if None in values else [])]
