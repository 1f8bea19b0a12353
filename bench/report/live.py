"""The live view of a sweep: calm lines on a terminal, plain ones in a log, tables at the end."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from bench.record import Results
from bench.report.conditions import conditions
from bench.report.facts import Facts, ProgramFacts, ended
from bench.report.leaderboard import failed, leaderboard
from bench.report.table import to_rich
from bench.report.tables import programs, timing, totals

_REDRAW_S = 0.25
_MOST_PROGRAMS = 20
_MOST_LIVE = 6  # programs with a line of their own while a sweep runs


class Progress:
    """Shows how a sweep goes on, as a context manager around its loop.

    Args:
        console: where. On a terminal a few lines are redrawn in place: the whole sweep, what ended last, a
            line a program; elsewhere plain lines follow each other.
        planned: trials known at the start.
        clock: seconds; injected by tests.
        every_s: seconds between two plain lines.
        verbose: tells each trial's end.
    """

    def __init__(
        self,
        console: Console,
        planned: int,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = 5.0,
        verbose: bool = False,
    ):
        terminal = console.is_terminal and not console.is_dumb_terminal
        self._console = console
        self._clock = clock
        self._pause = _REDRAW_S if terminal else every_s
        self._next = clock()
        self._facts = Facts(planned, start=clock())
        # No thread of its own: the view changes when the loop says so.
        self._live = Live(console=console, auto_refresh=False) if terminal else None
        self._open = ExitStack()
        self._verbose, self._told = verbose, 0
        self._newest: tuple[Results, int, float, float] | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._open.enter_context(self._live)
        return self

    def __exit__(self, *_: object) -> None:
        if self._newest:
            self._draw(*self._newest)
        self._open.close()

    def message(self, text: str) -> None:
        """Says something once, above the live lines."""
        self._console.print(Text(text), soft_wrap=True)

    def refresh(self, results: Results, busy: int, done: float = 0, planned: float = 0) -> None:
        """Takes note of a dispatch that ended; draws when it is time to, and costs nothing else.

        Args:
            results: all so far.
            busy: lanes that train.
            done: of the work of all trials, what those that ended early leave undone counted too.
            planned: all of that work, in the same unit; 0 counts trials instead.
        """
        self._newest = (results, busy, done, planned)
        if self._verbose:
            for trial in results.ended[self._told :]:
                self.message(ended(results, trial))
            self._told = len(results.ended)
        if self._clock() >= self._next:
            self._draw(*self._newest)

    def _draw(self, results: Results, busy: int, done: float, planned: float) -> None:
        self._newest = None
        now = self._clock()
        self._next = now + self._pause
        self._facts.update(results, busy, done, planned, now)
        if self._live:
            self._live.update(_lines(self._facts), refresh=True)
        else:
            self.message(_line(self._facts))


def _line(facts: Facts) -> str:
    best = f"best: {facts.best}" if facts.best else "best: unknown"
    return f"{facts.share:4.0%}  {facts.work()}; {facts.times()}; {best}"


def _lines(facts: Facts) -> Group:
    """Never wrapped: a narrow terminal cuts the lines instead."""
    rest = [facts.times(), f"Best so far: {facts.best or 'unknown'}"]
    rest += [f"Newest: {text}" for text in facts.recent[:1]]
    rest += [f"        {text}" for text in facts.recent[1:]]
    whole = _bars([(facts.share, facts.work())], 24, "cyan")
    parts: list[RenderableType] = [
        whole,
        *(Text(text, no_wrap=True, overflow="ellipsis") for text in rest),
    ]
    if len(facts.programs) > 1:
        parts.append(_programs(facts.programs))
    return Group(*parts)


def _programs(programs: Sequence[ProgramFacts]) -> Group:
    """A line each, of the first few."""
    rows = [
        (p.share, f"{p.program}  {p.done:,} of {p.trials:,} trials, {p.speed}")
        for p in programs[:_MOST_LIVE]
    ]
    more = programs[_MOST_LIVE:]
    done = sum(p.done == p.trials for p in more)
    left = [Text(f"{len(more):,} more programs, {done:,} of them done", "dim")] if more else []
    return Group(_bars(rows, 12, "blue"), *left)


def _bars(rows: Iterable[tuple[float, str]], width: int, color: str) -> Grid:
    """A bar, the percentage, and words, a row each."""
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    for share, words in rows:
        bar = ProgressBar(1.0, share, width, complete_style=color, finished_style="green")
        grid.add_row(bar, f"{share:4.0%}", words)
    return grid


def final(console: Console, results: Results, top: int = 10) -> None:
    """Prints the best trials, speed, totals, what failed, and conditions; leaves empty tables out."""
    tables = (
        leaderboard(results, top),
        timing(results).head(_MOST_PROGRAMS),
        programs(results).head(_MOST_PROGRAMS),
        totals(results),
        failed(results),
        conditions(results),
    )
    for table in filter(lambda table: table.rows, tables):
        console.print(to_rich(table, console.width))
