"""All trials, best first; and those that did not complete."""

from dataclasses import replace

from bench.report import leaderboard as tables
from bench.report import units
from bench.report.material import FIT, SECONDS, Material
from bench.report.sections.section import Part, Rows, Section
from bench.report.table import Column

_MOST = 100  # rows of a table that is for reading


def leaderboard(material: Material) -> Section:
    """Every trial as `report.leaderboard` ranks and shows it, with counts, seconds and the fit."""
    if not material.ranked:
        return Section("Trials", ("No trial has begun yet.",))
    table = tables.leaderboard(material.results, len(material.ranked))
    tested = material.data.get("test")
    fractions = [record.metrics.get("test_accuracy") for record in material.ranked]
    right = [
        f"{units.count(round(fraction * tested))} of {units.count(tested)}"
        if fraction is not None and tested
        else units.UNKNOWN
        for fraction in fractions
    ]
    seconds = [units.seconds(row[SECONDS]) for row in material.rows]
    fits = [row[FIT] for row in material.rows]
    more = ((Column("test correct", right=True), right), (Column("time", right=True), seconds),
            (Column("fit"), fits))  # fmt: skip
    columns = (*table.columns, *(column for column, _ in more))
    added = zip(*(cells for _, cells in more), strict=True)
    rows = tuple((*row, *cells) for row, cells in zip(table.rows, added, strict=True))
    shown = replace(table, title="", columns=columns, rows=rows)
    return Section("Trials", (table.note, Rows(replace(shown, note=""))))


def incomplete(material: Material) -> Section:
    """What failed, diverged or was stopped, and why."""
    failed = tables.failed(material.results)
    parts: tuple[Part, ...] = tuple(
        table.head(_MOST) for table in (failed, tables.incomplete(material.results)) if table.rows
    )
    return Section("Not completed", parts or (_none(material),))


def _none(material: Material) -> str:
    return "Every trial completed." if material.ranked else "No trial has begun yet."
