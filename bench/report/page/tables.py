"""Tables as HTML."""

from collections.abc import Iterable
from html import escape

from bench.report.table import Table


def html_table(table: Table, level: int = 3) -> str:
    """A heading of that level, the table, and the note; everything escaped."""
    sides = [' class="right"' if column.right else "" for column in table.columns]
    named = any(column.name for column in table.columns)
    head = _row("th", [column.name.replace("_", " ") for column in table.columns], sides)
    body = "".join(_row("td", row, sides) for row in table.rows)
    title = f"<h{level}>{escape(table.title)}</h{level}>" if table.title else ""
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    whole = f"{f'<thead>{head}</thead>' if named else ''}<tbody>{body}</tbody>"
    return f'{title}<div class="wide"><table>{whole}</table></div>{note}'


def _row(tag: str, cells: Iterable[str], sides: list[str]) -> str:
    made = (f"<{tag}{side}>{escape(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(made)}</tr>"
