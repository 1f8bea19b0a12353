"""Rows kept as columns of numbers, for what a long run has a million of: epochs and dispatches."""

import math
from array import array
from collections.abc import Container, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

METRICS = tuple(
    f"{part}_{kind}"
    for part in ("running", "train", "valid", "test")
    for kind in ("loss", "accuracy")
)


class Columns:
    """Rows, appended and read as mappings. A row takes its numbers' bytes and no object.

    What is unknown or not finite reads back as None. Booleans read back as 0 and 1.
    """

    TYPES: ClassVar[Mapping[str, str]] = {}  # column → type code of its `array`

    def __init__(self) -> None:
        self._columns: dict[str, array[Any]] = {
            name: array(code) for name, code in self.TYPES.items()
        }

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row; what is no column of this table is left out."""
        for name, column in self._columns.items():
            value = row[name]
            column.append(math.nan if value is None or not math.isfinite(value) else value)

    def column(self, name: str) -> np.ndarray:
        """All of one column, NaN where unknown. A copy: it does not grow with the table."""
        return np.array(self._columns[name])

    @property
    def nbytes(self) -> int:
        """The memory that the rows take."""
        return sum(len(column) * column.itemsize for column in self._columns.values())

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = {name: column[index] for name, column in self._columns.items()}
        return {name: None if value != value else value for name, value in row.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        # Bytes, for NaN is not equal to itself.
        return all(
            self._columns[name].tobytes() == other._columns[name].tobytes() for name in self.TYPES
        )


class Dispatches(Columns):
    """A program's training dispatches: a row each, with the keys of the journal's `train` events."""

    TYPES: ClassVar[Mapping[str, str]] = {
        "seconds": "d", "iterations": "q", "lanes": "q", "examples": "q",
        "flops": "d", "slot_flops": "d", "warmup": "b",
    }  # fmt: skip


class Curves(Columns):
    """A row per trial and epoch, as in `curves.parquet`."""

    TYPES: ClassVar[Mapping[str, str]] = {
        "trial": "i", "epoch": "i", "step": "q", **dict.fromkeys(METRICS, "d"),
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[str, int] = {}  # trial → its number in the column
        self._trials: list[str] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds an epoch of one trial; what is no column of this table is left out."""
        number = self._numbers.setdefault(row["trial"], len(self._trials))
        if number == len(self._trials):
            self._trials.append(row["trial"])
        super().append({**row, "trial": number})

    def column(self, name: str) -> np.ndarray:
        """All of one column, NaN where unknown; `trial` as ids."""
        values = super().column(name)
        return np.array(self._trials, object)[values] if name == "trial" else values

    def of(self, trials: Container[str]) -> "Curves":
        """The rows of some trials, in the order that they have here."""
        kept = Curves()
        kept._trials = [trial for trial in self._trials if trial in trials]
        kept._numbers = {trial: number for number, trial in enumerate(kept._trials)}
        renumbered = np.array([kept._numbers.get(trial, -1) for trial in self._trials], "i")
        numbers = renumbered[super().column("trial")]
        for name, code in self.TYPES.items():
            values = numbers if name == "trial" else self.column(name)
            kept._columns[name] = array(code, values[numbers >= 0].tobytes())
        return kept

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = super().__getitem__(index)
        return {**row, "trial": self._trials[row["trial"]]}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curves):
            return NotImplemented
        return self._trials == other._trials and super().__eq__(other)
