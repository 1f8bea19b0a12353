"""What a sweep is about to compile and train, and how long that is expected to take."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from bench import padding, summary
from bench.costs import Costs
from bench.layers import Activation, Blocks, Dropout, Layer
from bench.partition import open_values
from bench.plan import Plan, ProgramPlan
from bench.report import units
from bench.report.table import FACTS, Column, Table, to_rich
from bench.trial import Trial

MOST_ARCHITECTURES = 20


def show(console: Console, plan: Plan, trials: Iterable[Trial], costs: Costs) -> None:
    """Prints the plan: its programs, expected totals, and each program's architecture.

    Args:
        console: where to.
        plan: the plan.
        trials: those it was made of.
        costs: constants by which it was made.
    """
    known = tuple(trials)
    for table in (programs(plan, known), totals(plan, costs)):
        console.print(to_rich(table, console.width))
    for program in plan.programs[:MOST_ARCHITECTURES]:
        console.print(Text(f"Program {program.id}: its widest architecture", "bold"))
        console.print(Text(_architecture(program, plan, known) + "\n"))
    more = len(plan.programs) - MOST_ARCHITECTURES
    if more > 0:
        console.print(f"… and {more:,} more")


def programs(plan: Plan, trials: Sequence[Trial]) -> Table:
    """A row a program."""
    columns = (
        Column("program"),
        Column("trials", right=True),
        Column("lanes", right=True),
        Column("batch size"),
        Column("lanes differ in", wrap=True),
        Column("padding waste", right=True, drop=2),
        Column("params", right=True, drop=1),
        Column("compile", right=True),
        Column("run", right=True),
    )
    rows = tuple(
        (p.id, units.count(len(p.trials)), units.count(p.lanes), _batch_size(p),
         ", ".join(_shared(_values(p, plan, trials), p)) or "–",
         units.percent(p.waste), units.count(p.parameters), units.seconds(p.compile_s),
         units.seconds(p.train_s))
        for p in plan.programs
    )  # fmt: skip
    note = (
        "Each program compiles the widest of its trials' architectures. Padding waste is the expected share "
        "of its training FLOPs that no trial asked for."
    )
    return Table("Programs planned", columns, rows, note)


def _batch_size(program: ProgramPlan) -> str:
    sizes = units.setting(program.batch_sizes)
    return f"{sizes} in {program.microbatch}s" if program.accumulates else sizes


Values = list[tuple[type[Layer], Any, set]]


def _values(program: ProgramPlan, plan: Plan, trials: Sequence[Trial]) -> Values:
    """Of what is data to a program: whose it is, the program's value, and those of its known trials."""
    own, classes = set(program.trials), plan.workload.classes
    layers = {trial.layers(classes) for trial in trials if trial.id in own}
    every = [tuple(open_values(each, program.layers)) for each in layers]
    widest = open_values(program.layers, program.layers)
    return [(k, v, {row[n][1] for row in every}) for n, (k, v) in enumerate(widest)]


def _shared(values: Values, program: ProgramPlan) -> Iterator[str]:
    """What differs among a program's trials and is more to it than a number."""
    ranges: dict[type[Layer], set[int]] = {}
    names: dict[str, None] = {}
    for kind, widest, known in values:
        if isinstance(widest, tuple):
            names["|".join(widest)] = None
        elif isinstance(widest, int) and len(known | {widest}) > 1:
            ranges.setdefault(kind, set()).update(known, {widest})
    for kind, found in ranges.items():
        yield f"{_range(found)} blocks" if kind is Blocks else f"{kind.__name__} {_range(found)}"
    yield from names
    if len(program.optimizers) > 1:
        yield "|".join(program.optimizers)


def _range(values: Collection) -> str:
    low, high = (f"{value:g}" for value in (min(values), max(values)))
    return low if low == high else f"{low}…{high}"


def _architecture(program: ProgramPlan, plan: Plan, trials: Sequence[Trial]) -> str:
    """The summary of a program's layers, with the ranges in which its trials' differ."""

    def shown(kind: type[Layer], widest: Any, known: set) -> str:
        if kind is Dropout:  # the program's own says only whether any trial drops
            return _range(known) if known else ""
        if kind is Activation:
            return "|".join(widest) if isinstance(widest, tuple) else widest
        # Trials that nobody knows yet may be as wide as the program.
        return _range(known | {widest})

    # In the order in which the summary lists the layers.
    values = [v for v in _values(program, plan, trials) if v[0] is not Blocks]
    texts, rows = iter(values), []
    for row in summary.summary(program.layers, plan.workload.image_shape):
        name, *words = row.text.split(" ")
        if name in {kind.__name__ for kind in padding.OPEN}:
            name = " ".join(filter(None, (name, shown(*next(texts)), *words[1:])))
            row = row._replace(text=name)
        rows.append(row)
    return summary.table(tuple(rows))


def totals(plan: Plan, costs: Costs) -> Table:
    """What is expected of the whole sweep."""
    count, machine = len(plan.programs), plan.machine
    trials = sum(len(program.trials) for program in plan.programs)
    cores = f", {machine.compilers} at a time" if machine.compilers > 1 and count > 1 else ""
    source = (
        f"measured on {costs.chip}, {costs.measured}"
        if costs.measured
        else f"constants that are assumed, {costs.chip}: not measured on this machine"
    )
    shared = f", {machine.shares} of them to a trial" if machine.shares > 1 else ""
    rows = (
        ("devices", units.count(machine.devices * machine.shares) + shared),
        ("programs", f"{units.count(count)} for {units.count(trials)} trials"),
        ("compiling", units.seconds(plan.compile_s) + cores),
        ("training and evaluating", units.seconds(plan.train_s)),
        ("in all", units.seconds(plan.compile_s + plan.train_s)),
        ("expected from", source),
    )
    return Table("Expected", FACTS, rows)
