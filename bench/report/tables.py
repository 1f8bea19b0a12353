"""What was compiled, how fast it ran, and what the sweep took in all."""

from collections.abc import Iterator

from bench.record import Results
from bench.report import stats, units
from bench.report.speed import Timing, timings
from bench.report.table import FACTS, Column, Table

_WIDTHS = {True: "padded", False: "own"}
_ACCUMULATED = "32, 64 in 16s: an update adds up the gradients of batches of 16."
_PADDED = (
    "Widths: in a padded program narrower and shallower trials run in the layers of the largest, whose "
    "params are shown."
)
_WASTE = (
    "Padding waste: the share of the training FLOPs computed that no trial needed, of padded widths, "
    "short last batches and idle lanes."
)
_PEAK = (
    "Of peak: GFLOP/s of what the measured peaks allow at the program's FLOPs for each byte, bound by "
    "compute or by memory."
)


def programs(results: Results) -> Table:
    """What was compiled, and what it cost."""
    columns = (
        Column("program"),
        *(Column(name, right=True) for name in ("trials", "lanes")),
        Column("batch sizes"),
        Column("params", right=True),
        Column("widths", drop=3),
        Column("strategy"),
        Column("compile", right=True),
        Column("padding waste", right=True, drop=1),
        Column("peak memory", right=True, drop=2),
    )
    speeds = timings(results)
    rows = tuple(
        (t.program, units.count(t.trials), units.count(t.lanes), _batch_sizes(t),
         units.count(t.parameters), _WIDTHS[t.padded], t.strategy, units.seconds(t.compile_s),
         units.percent(t.padding_waste), units.size(t.peak_bytes))
        for t in speeds
    )  # fmt: skip
    notes = (
        _ACCUMULATED if any(map(_accumulates, speeds)) else "",
        _PADDED if any(t.padded for t in speeds) else "",
        _WASTE,
    )
    return Table("Programs", columns, rows, " ".join(filter(None, notes)))


def _accumulates(timing: Timing) -> bool:
    return timing.batch_sizes != (timing.microbatch,)


def _batch_sizes(timing: Timing) -> str:
    """`16, 32, 64 in 16s` where batches are accumulated from smaller ones; else `32`."""
    sizes = ", ".join(map(str, timing.batch_sizes))
    return f"{sizes} in {timing.microbatch}s" if _accumulates(timing) else sizes


def timing(results: Results) -> Table:
    """How fast each program trained."""
    names = ("ms/step", "p5", "p95", "n", "ms/step/trial", "examples/s", "GFLOP/s", "of peak")
    measures = (Column(name, right=True, drop=order) for order, name in enumerate(names))
    bound = Column("bound", drop=len(names))
    columns = (Column("program"), Column("batch size", right=True), *measures, bound)
    rows = tuple(row for t in timings(results) for row in _timing_rows(t))
    note = (
        "A step updates every busy lane once. Median, 5th and 95th percentile over n dispatches. "
        "A program's rates are over all its batch sizes, and stand in its first row."
    )
    if results.peaks:
        note = f"{note} {_PEAK}"
    return Table("Timing", columns, rows, note)


def _timing_rows(timing: Timing) -> Iterator[tuple[str, ...]]:
    rates = (
        units.number(timing.examples_per_s),
        units.number(timing.gflops_per_s),
        units.percent(timing.peak_fraction),
        timing.bound or units.UNKNOWN,
    )
    for batch_size, ms in timing.ms_per_step.items():
        numbers = (ms.median, ms.p5, ms.p95)
        per_trial = units.number(timing.ms_per_step_per_trial[batch_size])
        measured = (*map(units.number, numbers), units.count(ms.n), per_trial)
        yield (timing.program, units.count(batch_size), *measured, *rates)
        rates = ("", "", "", "")


def totals(results: Results) -> Table:
    """What the whole sweep took."""
    t = stats.totals(results)
    planned = stats.newest_run(results).get("planned")
    statuses = ", ".join(f"{units.count(n)} {status}" for status, n in t.statuses.items())
    rows = (
        ("trials", f"{statuses or 'none yet'}; {units.count(planned)} planned at the start"),
        ("ended by", t.reason or units.UNKNOWN),
        ("wall time", units.seconds(t.whole_s if t.whole_s is not None else t.wall_s)),
        ("training", units.seconds(t.train_s)),
        ("evaluating", units.seconds(t.eval_s)),
        ("compiling", units.seconds(t.compile_s)),
        ("tuning", units.seconds(t.tune_s)),
        ("feeding the lanes", units.seconds(t.input_s)),
        ("measuring peaks", units.seconds(t.peaks_s)),
        ("preparing data", units.seconds(t.data_s)),
        ("all else", units.seconds(t.other_s)),
        ("completed trials per hour", units.number(t.trials_per_hour)),
    )
    note = "" if t.processes < 2 else (
        f"The sweep was started {t.processes} times: data and peaks are of the last start, the rest "
        + ("of all." if t.whole_s is not None else "of all but wall time, which is of the last, too.")
    )  # fmt: skip
    return Table("Totals", FACTS, rows, note)
