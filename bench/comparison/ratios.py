"""The tables of ratios: what the whole took, and each program or point."""

from collections.abc import Iterator, Sequence

from bench.comparison.cost import Cost
from bench.comparison.ratio import MARGIN, RESOLVED, Estimate, Ratio
from bench.comparison.row import Joined, Row
from bench.comparison.run import Key
from bench.comparison.side import Side
from bench.comparison.tables import shown
from bench.report import units
from bench.report.table import Column, Table

MOST_ROWS = 100
_TEST = (
    "Ratio: of the medians of ms/step; over 1, {second} is slower. 95 %: an interval that holds it of the "
    "medians and of the fastest tenths (their ratio: fastest); of a run alone by a block bootstrap of its "
    "dispatches, twice as wide; of repeats by Student's t. Slower, faster: all of it is beyond {margin}, and "
    "beyond what the speed of memory, which each run measures, explains. No difference: none of over "
    "{resolved}."
)
_SECONDS = (
    "Seconds have a ratio where all runs completed the same trials, and a verdict where sides are of several "
    "runs."
)


def whole(joined: Joined, margin: float = MARGIN) -> Table:
    """All of the work together, and the seconds of the runs."""
    first, second = joined.first, joined.second
    columns = (
        Column(""),
        *(Column(side.name, right=True) for side in (first, second)),
        Column("ratio", right=True),
        Column("95 %"),
        Column("verdict"),
        Column("fastest", right=True, drop=1),
    )
    rows = [
        (name, *(f"{ms} ms" for ms in _ms(row)), *_tested(row.ratio, margin))
        for name, row in joined.whole.items()
    ]
    rows += _seconds(first, second, margin)
    memory = [
        side.bytes_per_s and f"{units.number(side.bytes_per_s / 1e9)} GB/s"
        for side in (first, second)
    ]
    if first.first.sweep:
        change = quotient(second.bytes_per_s, first.bytes_per_s)
        rows.append(("memory", *(m or units.UNKNOWN for m in memory), change, "", "", ""))
    note = _TEST.format(
        second=second.name, margin=units.percent(margin), resolved=units.percent(RESOLVED)
    )
    title = f"{second.name} against {first.name}: a step of one trial, and the whole"
    return Table(title, columns, tuple(rows), f"{note} {_SECONDS}" if first.first.sweep else note)


def _ms(row: Row) -> tuple[str, ...]:
    return tuple(units.number(1000 * seconds) for seconds in row.step_s)


def _tested(ratio: Ratio, margin: float) -> tuple[str, ...]:
    return (
        units.number(ratio.value),
        interval(ratio),
        ratio.verdict(margin),
        units.number(ratio.fastest),
    )


def interval(ratio: Ratio, confidence: float = 0.95) -> str:
    """`[0.98, 1.03]`, or unknown."""
    found = ratio.interval(confidence)
    return f"[{', '.join(map(units.number, found))}]" if found else units.UNKNOWN


def _seconds(first: Side, second: Side, margin: float) -> Iterator[tuple[str, ...]]:
    every = [*first.runs, *second.runs]
    same = all(run.ended == "completed" and run.trials == every[0].trials for run in every)
    for name in first.first.seconds:
        found = [[run.seconds.get(name) for run in side.runs] for side in (first, second)]
        known = [[value for value in side if value is not None] for side in found]
        whole = [
            sum(k) / len(k) if len(k) == len(f) else None for k, f in zip(known, found, strict=True)
        ]
        told: tuple[str, ...] = (units.UNKNOWN, "", "", "")
        if same and None not in whole:
            one, other = (Estimate.of([Cost.single(v) for v in side]) for side in known)
            told = (*_tested(Ratio.of(one, other), margin)[:3], "")
        yield (name, *map(units.seconds, whole), *told)


def parts(joined: Joined, margin: float = MARGIN) -> Table:
    """Each program, or point, that both sides have."""
    sweep = joined.first.first.sweep
    columns = (
        Column("program" if sweep else "point", wrap=True),
        *((Column("trials"),) if sweep else ()),
        *(Column(side.name, right=True) for side in (joined.first, joined.second)),
        Column("ratio", right=True),
        Column("95 %"),
        Column("verdict"),
        Column("fastest", right=True, drop=2),
        Column("n", right=True, drop=1),
    )
    rows = tuple(
        (
            shown(row.name),
            *((_counted(joined, row),) if sweep else ()),
            *_ms(row),
            *_tested(row.ratio, margin),
            " / ".join(units.count(_dispatches(row, side)) for side in (0, 1)),
        )
        for row in joined.rows
    )
    kind = "programs" if sweep else "points"
    title = f"{joined.second.name} against {joined.first.name}: {kind}, ms/step/trial"
    note = f"n counts dispatches. {_left_out(joined)}".strip()
    return Table(title, columns, rows, note).head(MOST_ROWS)


def _counted(joined: Joined, row: Row) -> str:
    """How many trials a row is of; on either side where that differs, and of how many in its programs."""
    told = []
    for side, units_of in zip((joined.first, joined.second), row.units, strict=True):
        work = side.first.work
        held: set[Key] = {key for unit in units_of[0] for key in unit.shares}
        shared, every = (sum(work[key].trials for key in keys) for keys in (row.keys, held))
        told.append(units.count(shared) if shared == every else f"{shared:,} of {every:,}")
    return " / ".join(dict.fromkeys(told))


def _dispatches(row: Row, side: int) -> int:
    return sum(len(unit.seconds) for run in row.units[side] for unit in run)


def quotient(second: float | None, first: float | None) -> str:
    """What the second is of the first."""
    return units.number(second / first if second and first else None)


def _left_out(joined: Joined) -> str:
    """The programs and points of which only one side has work, or a dispatch that was timed."""
    told = []
    for index, side in enumerate((joined.first, joined.second)):
        found = {unit.name for row in joined.rows for unit in row.units[index][0]}
        run = side.first
        names = [unit.name for unit in run.units if unit.name not in found]
        if names:
            told.append(f"{side.name} alone has {_listed(names)}.")
        if run.untimed:
            told.append(f"{side.name} has timed no dispatch of {_listed(run.untimed)}.")
    return " ".join(told)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return shown("; ".join(names[:5])) + more
