"""What was compiled, how fast it ran, and what the sweep took in all."""

from bench.record import Results
from bench.report import stats, units
from bench.report.speed import timings
from bench.report.table import FACTS, Column, Table


def programs(results: Results) -> Table:
    """What was compiled, and what it cost."""
    columns = (
        Column("program"),
        *(Column(name, right=True) for name in ("trials", "lanes", "batch size", "params")),
        Column("strategy"),
        Column("compile", right=True),
        Column("padding waste", right=True, drop=1),
        Column("peak memory", right=True, drop=2),
    )
    rows = tuple(
        (t.program, units.count(t.trials), units.count(t.lanes), units.count(t.batch_size),
         units.count(t.parameters), t.strategy, units.seconds(t.compile_s),
         units.percent(t.padding_waste), units.size(t.peak_bytes))
        for t in timings(results)
    )  # fmt: skip
    return Table("Programs", columns, rows)


def timing(results: Results) -> Table:
    """How fast each program trained."""
    names = ("ms/step", "p5", "p95", "n", "ms/step/trial", "examples/s", "GFLOP/s", "of peak")
    measures = (Column(name, right=True, drop=order) for order, name in enumerate(names))
    columns = (Column("program"), *measures)
    rows = tuple(
        (t.program, units.number(t.ms_per_step.median), units.number(t.ms_per_step.p5),
         units.number(t.ms_per_step.p95), units.count(t.ms_per_step.n),
         units.number(t.ms_per_step_per_trial), units.number(t.examples_per_s),
         units.number(t.gflops_per_s), units.percent(t.peak_fraction))
        for t in timings(results)
    )  # fmt: skip
    note = "A step updates every busy lane once. Median, 5th and 95th percentile over n dispatches."
    return Table("Timing", columns, rows, note)


def totals(results: Results) -> Table:
    """What the whole sweep took."""
    t = stats.totals(results)
    planned = stats.newest_run(results).get("planned")
    statuses = ", ".join(f"{units.count(n)} {status}" for status, n in t.statuses.items())
    rows = (
        ("trials", f"{statuses or 'none yet'}; {units.count(planned)} planned at the start"),
        ("ended by", t.reason or units.UNKNOWN),
        ("wall time", units.seconds(t.wall_s)),
        ("training", units.seconds(t.train_s)),
        ("evaluating", units.seconds(t.eval_s)),
        ("compiling", units.seconds(t.compile_s)),
        ("preparing data", units.seconds(t.data_s)),
        ("completed trials per hour", units.number(t.trials_per_hour)),
    )
    note = "" if t.processes < 2 else (
        f"The sweep was started {t.processes} times: wall time and data are of the last start, the "
        "rest of all; trials per hour would mix the two."
    )  # fmt: skip
    return Table("Totals", FACTS, rows, note)
