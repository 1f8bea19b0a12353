"""A table of strings, and its two forms: for a terminal and for Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

_GAP = 2  # terminal columns between two of a table's: its padding, and the box's own blank


@dataclass(frozen=True)
class Column:
    """How one column behaves.

    Attributes:
        right: aligned to the right, as numbers are.
        wrap: long text that may take several lines.
        drop: where the table is too wide for a terminal, the highest go first; 0 stays.
    """

    name: str
    right: bool = False
    wrap: bool = False
    drop: int = 0


FACTS = (Column(""), Column("", wrap=True))  # of tables that are lists of facts: no headings


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; `note` says how to read them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def head(self, rows: int) -> "Table":
        """The first `rows`, and a word on how many more there are."""
        more = len(self.rows) - rows
        if more <= 0:
            return self
        return replace(
            self, rows=self.rows[:rows], note=_joined(self.note, f"{more:,} more not shown.")
        )


def to_markdown(table: Table, level: int = 2) -> str:
    """A heading, a pipe table, and the note."""
    head = [_escape(column.name) for column in table.columns]
    rule = ["---:" if column.right else "---" for column in table.columns]
    body = [[_escape(cell) for cell in row] for row in table.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, rule, *body)]
    note = [_escape(table.note)] if table.note else []
    return "\n\n".join([f"{'#' * level} {table.title}", "\n".join(lines), *note])


def _escape(text: str) -> str:
    return re.sub(r"([\\|<*`])", r"\\\1", " ".join(text.split()))


def to_rich(table: Table, width: int) -> RenderableType:
    """The table for a terminal of `width` columns; names the columns that found no room."""
    columns = list(range(len(table.columns)))
    while _spare(_widths(table, columns), width) < 0:
        last = max(columns, key=lambda c: table.columns[c].drop)
        if not table.columns[last].drop:
            break
        columns.remove(last)
    dropped = [c.name for i, c in enumerate(table.columns) if i not in columns]
    note = _joined(table.note, f"No room for: {', '.join(dropped)}." if dropped else "")
    parts: list[RenderableType] = [Text(table.title, "bold"), _grid(table, columns, width)]
    if note:
        parts.append(Text(note, "dim"))
    return Group(*parts, "")


def _grid(table: Table, columns: Sequence[int], width: int) -> RichTable:
    # Headings stay on one line where there is room.
    narrow, wide = _widths(table, columns), _widths(table, columns, broken=False)
    widths = wide if _spare(wide, width) >= 0 else narrow
    spare = _spare(widths, width)
    grid = RichTable(
        box=box.SIMPLE_HEAD,
        padding=(0, _GAP - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        show_header=any(column.name for column in table.columns),
    )
    for index, size in zip(columns, widths, strict=True):
        column = table.columns[index]
        if column.wrap:
            more = max(0, min(spare, _longest(table, index) - size))
            size, spare = size + more, spare - more
        heading = Text(_words(column.name))
        grid.add_column(heading, width=size, justify="right" if column.right else "left")
    for row in table.rows:
        grid.add_row(*(Text(row[index]) for index in columns))
    return grid


def _widths(table: Table, columns: Sequence[int], broken: bool = True) -> list[int]:
    """What each column needs, its heading broken between words or not."""
    return [_width(table, index, broken) for index in columns]


def _spare(widths: Sequence[int], width: int) -> int:
    return width - sum(widths) - _GAP * (len(widths) - 1)


def _width(table: Table, index: int, broken: bool) -> int:
    column = table.columns[index]
    heading = _words(column.name)
    words = heading.split() if broken else [heading]
    cells = min(24, _longest(table, index)) if column.wrap else _longest(table, index)
    return max([cells, *map(cell_len, words)])


def _longest(table: Table, index: int) -> int:
    return max((cell_len(row[index]) for row in table.rows), default=0)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
