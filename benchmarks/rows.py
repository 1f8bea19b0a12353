"""What the rounds of `benchmarks.peers` gave: ratios within a round, and tables of them in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

CONVOY = "convoy"


@dataclass
class Row:
    """One contender at one work.

    Attributes:
        name: as in the table; `CONVOY` is what the others are held against.
        values: milliseconds per step and trial, or seconds end to end, of each round.
        processes: that it ran in.
        accuracy: of the same trials on the same test examples after the same updates.
        note: how it was run, where there is more than one way.
        about: versions and the like.
    """

    name: str
    values: list[float] = field(default_factory=list)
    processes: int = 1
    accuracy: float | None = None
    note: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    def ratios(self, convoy: "Row") -> list[float]:
        """How many times Convoy's time it took, round by round."""
        return [own / base for own, base in zip(self.values, convoy.values, strict=True)]


def spread(values: Sequence[float], digits: str = ".2f") -> str:
    """`median (least to most)`."""
    return f"{median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"


def number(value: float) -> str:
    """Three digits of it."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def best(rows: Sequence[Row], processes: int | None = None) -> Row | None:
    """The quickest peer, of those in so many processes."""
    peers = [
        row
        for row in rows
        if row.name != CONVOY and row.values and processes in (None, row.processes)
    ]
    return min(peers, key=lambda row: median(row.values), default=None)


def table(
    title: str, unit: str, rows: Sequence[Row], skipped: Mapping[str, str], remark: str
) -> str:
    """A work's rows in Markdown, quickest first, and Convoy against the best peers."""
    convoy = next(row for row in rows if row.name == CONVOY)
    lines = [
        f"**{title}** {remark}",
        "",
        f"| | {unit} | least to most | × Convoy's, by round | test accuracy | |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: median(row.values)):
        name = "**Convoy**" if row is convoy else row.name
        ratio = "1" if row is convoy else spread(row.ratios(convoy))
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.2%}"
        least, most = number(min(row.values)), number(max(row.values))
        cells = (name, number(median(row.values)), f"{least} to {most}", ratio, accuracy, row.note)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *_verdict(rows, convoy)]
    lines += [f"- {name}: {reason}" for name, reason in skipped.items()]
    return "\n".join(lines)


def _verdict(rows: Sequence[Row], convoy: Row) -> list[str]:
    lines = []
    for words, processes in (("in one process", 1), ("at its best", None)):
        if (row := best(rows, processes)) is not None:
            lines.append(
                f"- Against the best peer {words} ({row.name}): {spread(row.ratios(convoy))} times as fast."
            )
    return lines
