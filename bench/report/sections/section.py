"""What a section of the page is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.report.charts.spec import Spec
from bench.report.table import Table


@dataclass(frozen=True)
class Rows:
    """A table of any length, to be sorted and searched."""

    table: Table


@dataclass(frozen=True)
class Choice:
    """Charts of which a drop-down for each of `names` chooses; the first are shown at first.

    Attributes:
        names: over the drop-downs.
        charts: chosen values → what they show. A combination that is not there has nothing to show.
    """

    names: tuple[str, ...]
    charts: Mapping[tuple[str, ...], tuple[Spec, ...]]


Part = str | Spec | Table | Rows | Choice


@dataclass(frozen=True)
class Section:
    """A heading and what is under it: paragraphs, charts, tables. Never nothing: a paragraph says why."""

    title: str
    parts: tuple[Part, ...]
