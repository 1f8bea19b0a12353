"""Compares runs across machines, settings and commits: what differs between them, and which is slower.

    python -m bench.compare runs/before runs/after
    python -m bench.compare runs/before_* runs/after_* --repeats=3 --fail_if_slower=5%
    python -m bench.compare runs/laptop runs/server runs/gpu --out=compare.html

The first run is what the others are held against; with --repeats=3 the first three, which are one side.
Repeats that took turns (before, after, before, …) tell a slower program from a busier machine; a single
run on each side can do so in part.

Exit codes: 0; 1 with --fail_if_slower, where a step is slower by more than that; 2 something to mend.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.comparison import ratios, tables
from bench.comparison.figures import figures
from bench.comparison.join import join
from bench.comparison.page import page, picture
from bench.comparison.ratio import CONFIDENCE, MARGIN, SLOWER
from bench.comparison.row import Joined
from bench.comparison.side import Side, read
from bench.comparison.tables import shown
from bench.errors import ConfigError, ConvoyError
from bench.journal import write_file
from bench.report import units
from bench.report.table import Table, to_markdown, to_rich

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TITLE = "Convoy: runs compared"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    margin, limit = options.margin, options.fail_if_slower
    try:
        _check(options.out)
        sides = _sides(options.run, options.repeats)
        joined = [join(sides[0], side) for side in sides[1:]]
        found = _tables(sides, joined, margin)
        slower = [] if limit is None else _slower(joined, limit, margin)
        words = [_summary(each, margin) for each in joined]
        if limit is not None:
            words.append(
                f"Slower by more than {units.percent(limit)}: {', '.join(slower) or 'nothing'}."
            )
        for path in options.out:
            write_file(path, _content(path, words, found, joined, margin).encode())
    except ConvoyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _show(found, words)
    return 1 if slower else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", type=Path, nargs="+", help="a run directory")
    parser.add_argument(
        "--repeats", type=int, default=1, help="so many runs after each other are one side"
    )
    parser.add_argument(
        "--margin",
        type=_percent,
        default=MARGIN,
        help="a smaller difference is none (default: 2%%)",
    )
    parser.add_argument(
        "--fail_if_slower",
        type=_percent,
        help="exit with 1 where a step is slower by more, like 5%%",
    )
    parser.add_argument(
        "--out", type=Path, action="append", default=[], help="a file to write, .md or .html"
    )
    return parser


def _percent(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?%", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage; write it like 5%")
    return float(text[:-1]) / 100


def _check(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.suffix not in (".md", ".html"):
            raise ConfigError(f"--out={path}: what is written is .md or .html")


def _sides(runs: Sequence[Path], repeats: int) -> list[Side]:
    """The runs as they were given, so many at a time.

    Raises:
        ConvoyError: they cannot be read, or do not make two sides.
    """
    count, rest = divmod(len(runs), max(repeats, 1))
    if repeats < 1 or rest or not 2 <= count <= len(_LETTERS):
        raise ConfigError(
            f"{len(runs)} runs make no sides of {repeats}: give 2 to {len(_LETTERS)} sides, each of "
            "--repeats runs"
        )
    every = [read(path) for path in runs]
    return [
        Side(name, tuple(every[start : start + repeats]))
        for name, start in zip(_LETTERS, range(0, len(runs), repeats), strict=False)
    ]


def _tables(sides: Sequence[Side], joined: Sequence[Joined], margin: float) -> list[Table]:
    each = (
        table
        for pair in joined
        for table in (ratios.whole(pair, margin), ratios.parts(pair, margin), figures(pair))
    )
    return [tables.sides(sides), tables.differing(sides), *each]


def _slower(joined: Sequence[Joined], limit: float, margin: float) -> list[str]:
    """Rows that are slower by more than `limit`, among all that are tested at once.

    Whether there is any is asked at 95 % for all of them together: each is held to Holm's first step
    (Holm 1979), α over their number.
    """
    every = [(pair, name, row) for pair in joined for name, row in pair.tested]
    tested = sum(row.ratio.interval() is not None for _, _, row in every)
    confidence = 1 - (1 - CONFIDENCE) / max(tested, 1)
    return [
        f"{shown(name)} of {pair.second.name} ({units.number(row.ratio.value)})"
        for pair, name, row in every
        if row.ratio.verdict(margin, confidence) == SLOWER and row.ratio.value > 1 + limit
    ]


def _summary(joined: Joined, margin: float) -> str:
    """`B against A: all programs: no difference, 1.00 [0.98, 1.02]; of 2 rows: 2 no difference.`"""
    whole = [
        f"{name}: {row.ratio.verdict(margin)}, {units.number(row.ratio.value)} {ratios.interval(row.ratio)}"
        for name, row in joined.whole.items()
    ]
    verdicts = Counter(row.ratio.verdict(margin) for row in joined.rows)
    rows = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    kind = "programs" if joined.first.first.sweep else "points"
    return f"{joined.second.name} against {joined.first.name}: {'; '.join(whole)}; {kind}: {rows}."


def _content(
    path: Path,
    words: Sequence[str],
    found: Sequence[Table],
    joined: Sequence[Joined],
    margin: float,
) -> str:
    if path.suffix == ".html":
        return page(_TITLE, words, found, (picture(each, margin) for each in joined))
    return "\n\n".join([f"# {_TITLE}", *words, *map(to_markdown, found)]) + "\n"


def _show(found: Sequence[Table], words: Sequence[str]) -> None:
    # Not on a terminal, tables take the width of a wide one rather than lose columns.
    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in found:
        console.print(to_rich(table, console.width))
    for sentence in words:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
