"""What else was measured of each program or point, and what was chosen otherwise."""

from typing import Any

from bench.comparison.ratios import MOST_ROWS, quotient
from bench.comparison.row import Joined, Row
from bench.comparison.tables import shown
from bench.report.table import Column, Table

_FIGURES = ("examples/s", "compile", "of peak", "memory", "J/example")


def figures(joined: Joined) -> Table:
    """What else was measured of each, and what was chosen otherwise."""
    columns = (
        Column("program" if joined.first.first.sweep else "point", wrap=True),
        *(Column(name, right=True, drop=order) for order, name in enumerate(_FIGURES)),
        Column("differs", wrap=True),
    )
    rows = tuple(
        (
            shown(row.name),
            *(quotient(row.figure(1, name), row.figure(0, name)) for name in _FIGURES),
            _differs(row),
        )
        for row in joined.rows
    )
    title = f"{joined.second.name} against {joined.first.name}: ratios of what else was measured"
    return Table(title, columns, rows).head(MOST_ROWS)


def _differs(row: Row) -> str:
    return "; ".join(f"{name} {_change(one, other)}" for name, one, other in row.differs())


def _change(one: Any, other: Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict):  # by site
        pairs = {(name, other[site]) for site, name in one.items() if other.get(site, name) != name}
        told = [" → ".join(map(shown, pair)) for pair in sorted(pairs)]
        return ", ".join(told) or "of other sites"
    return f"{_choice(one)} → {_choice(other)}"


def _choice(values: Any) -> str:
    return shown("; ".join(sorted(values)))
