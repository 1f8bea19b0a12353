"""What a page's charts and tables hold, each column of it once."""

import json
from typing import Any

from bench.report.charts.spec import Spec
from bench.report.sections import Choice
from bench.report.table import Table


class Packed:
    """Charts, choices and tables by number. Rows become columns, and a column that several show is kept once.

    A column of few different values is kept as these values and their numbers.
    """

    def __init__(self) -> None:
        self._columns: list[Any] = []
        self._known: dict[str, int] = {}
        self._charts: list[Spec] = []
        self._choices: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []

    def content(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "columns": self._columns,
            "charts": self._charts,
            "choices": self._choices,
            "rows": self._rows,
        }

    def chart(self, spec: Spec) -> int:
        """The number of a chart."""
        self._charts.append(self._packed(spec))
        return len(self._charts) - 1

    def choice(self, choice: Choice) -> int:
        """The number of a choice."""
        charts = [
            {"of": list(values), "charts": [self.chart(spec) for spec in specs]}
            for values, specs in choice.charts.items()
        ]
        self._choices.append({"names": list(choice.names), "charts": charts})
        return len(self._choices) - 1

    def rows(self, table: Table) -> int:
        """The number of a table."""
        cells = zip(*table.rows, strict=True) if table.rows else ([] for _ in table.columns)
        columns = [
            {"name": words, "right": column.right, "cells": self._column(list(values))}
            for column, values in zip(table.columns, cells, strict=True)
            for words in [column.name.replace("_", " ")]
        ]
        self._rows.append({"columns": columns, "length": len(table.rows)})
        return len(self._rows) - 1

    def _packed(self, part: Any) -> Any:
        """A specification with its rows, and those of its layers, as {name: number of a column}."""
        if isinstance(part, list):
            return [self._packed(item) for item in part]
        if not isinstance(part, dict):
            return part
        packed = {name: self._packed(value) for name, value in part.items() if name != "data"}
        if "data" in part:
            rows = part["data"]["values"]
            names = rows[0].keys() if rows else ()
            packed["data"] = {name: self._column([row[name] for row in rows]) for name in names}
        return packed

    def _column(self, values: list[Any]) -> int:
        text = json.dumps(values)
        if text not in self._known:
            self._known[text] = len(self._columns)
            self._columns.append(_short(values))
        return self._known[text]


def _short(values: list[Any]) -> Any:
    """As {"levels": …, "at": …} where that is shorter."""
    levels = dict.fromkeys(values)
    if len(levels) > len(values) / 4:
        return values
    places = {value: place for place, value in enumerate(levels)}
    return {"levels": list(levels), "at": [places[value] for value in values]}
