"""What is compared, and what differs: the tables that come before any ratio."""

from collections.abc import Sequence

from bench.comparison.run import Run
from bench.comparison.side import Side, differences
from bench.errors import CONTROL
from bench.report import units
from bench.report.table import Column, Table


def shown(text: str) -> str:
    """Text that a run directory holds, fit to be printed; unknown where it is empty."""
    return CONTROL.sub("?", text if len(text) <= 200 else text[:200] + "…") or units.UNKNOWN


def sides(every: Sequence[Side]) -> Table:
    """Which letter is which run."""
    columns = (
        Column("side"),
        Column("run", wrap=True),
        Column("started"),
        Column("ended by"),
        Column("trials", right=True),
    )
    rows = tuple(
        (side.name, shown(str(run.path)), shown(str(run.started or "")), _ended(run), _trials(run))
        for side in every
        for run in side.runs
    )
    return Table("Sides", columns, rows)


def _ended(run: Run) -> str:
    return shown(run.ended) if run.ended else "not ended"


def _trials(run: Run) -> str:
    return units.count(run.trials.total()) if run.trials is not None else "–"


def differing(every: Sequence[Side]) -> Table:
    """What is not the same on all sides."""
    rows = differences([side.first for side in every])
    columns = (Column(""), *(Column(side.name, wrap=True) for side in every))
    note = (
        ""
        if rows
        else "Nothing: hardware, versions, settings and data are the same, as far as told."
    )
    told = tuple((shown(name.replace("_", " ")), *map(shown, texts)) for name, *texts in rows)
    return Table("What differs", columns if rows else (Column(""),), told, note)
