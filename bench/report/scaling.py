"""The hardware benchmark for people: a pair of tables an entry, and what follows from them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Console

from bench.curves import Curve, curves, ruling
from bench.layers import by
from bench.points import KINDS, Measured, Point
from bench.report import units
from bench.report.conditions import hardware, software
from bench.report.table import FACTS, Column, Table, to_rich
from bench.suite import ENTRIES, Benchmark

_NAMES = {"train": "training", "evaluate": "evaluation"}
_HOW_TIMED = (
    "A clock stops when the device is done; the first dispatch of a point is its warm-up and left out. "
    "Compiling is timed apart, nothing is taken from a cache, and nothing compiles while steps are timed."
)
_HOW_COUNTED = (
    "FLOPs are those of conv and dense layers; training takes three times the forward pass. examples/s and "
    "GFLOP/s are those of the median dispatch."
)
_ENERGY = {
    "NVML": "NVML, of the GPUs alone; the host is not counted",
    "RAPL": "RAPL, of the processor packages, whatever else they do; main memory is not counted",
}
_FULL = (
    "Full: the least at which training, or evaluation, is within 5 % of the best throughput seen on the "
    "curve; examples/s are of training there."
)


def of_entry(measured: Measured, name: str) -> tuple[Table, ...]:
    """What was measured of an entry: training, and evaluation."""
    entry = ENTRIES[name]
    size = (
        f"{by(entry.image_shape)} images, {units.count(entry.parameters)} parameters, "
        f"{units.number(entry.flops / 1e6)} MFLOP an example"
    )
    what = {
        "train": f"{size}. A step updates every lane once.",
        "evaluate": "A step is a forward pass of every lane over one batch.",
    }
    points = measured.of_entry(name)
    return tuple(_times(name, kind, points, what[kind]) for kind in KINDS)


def _times(name: str, kind: str, points: list[Point], note: str) -> Table:
    names = (
        "batch",
        "lanes",
        "ms/step",
        "p5",
        "p95",
        "n",
        "ms/step/trial",
        "examples/s",
        "GFLOP/s",
    )
    more = ("J/example", "compile", "memory") if kind == "train" else ("J/example",)
    columns = (
        *(Column(column, right=True) for column in names),
        *(Column(column, right=True, drop=order) for order, column in enumerate(more, 1)),
    )
    rows = tuple(tuple(_row(point, kind))[: len(columns)] for point in points)
    return Table(f"{name}: {_NAMES[kind]}", columns, rows, note)


def _row(point: Point, kind: str) -> Iterator[str]:
    ms = point.ms(kind)
    yield units.count(point.batch)
    yield units.count(point.lanes)
    yield from map(units.number, (ms.median, ms.p5, ms.p95))
    yield units.count(ms.n)
    yield units.number(None if ms.median is None else ms.median / point.lanes)
    yield units.number(point.examples_per_s(kind))
    yield units.number(point.gflops_per_s(kind))
    yield units.number(point.joules_per_example(kind))
    yield units.seconds(point.compile_s)
    yield units.size(point.peak_bytes)


def all_curves(measured: Measured) -> list[Curve]:
    """The curves of all entries; none before the first process began."""
    if not measured.starts:
        return []
    start = measured.starts[-1]
    benchmark, devices = Benchmark(**start["benchmark"]), start["hardware"]["devices"]
    names = benchmark.entries
    return [c for name in names for c in curves(ENTRIES[name], benchmark, devices, measured)]


def full(measured: Measured) -> Table:
    """Where the chip is full, over lanes and over batch sizes."""
    columns = (
        Column("entry"),
        Column("doubled"),
        Column("full: training", right=True),
        Column("full: evaluation", right=True),
        Column("examples/s", right=True),
        Column("GFLOP/s", right=True, drop=1),
        Column("ended by"),
    )
    rows = tuple(_full_row(curve) for curve in all_curves(measured))
    return Table("Where the chip is full", columns, rows, _FULL)


def _full_row(curve: Curve) -> tuple[str, ...]:
    fixed = f"batch {curve.fixed:,}" if curve.over == "lanes" else _lanes(curve.fixed)
    train, evaluate = (curve.full(kind) for kind in KINDS)
    return (
        curve.entry,
        f"{curve.over}, {fixed}",
        *(units.count(getattr(point, curve.over, None)) for point in (train, evaluate)),
        units.number(train.examples_per_s("train") if train else None),
        units.number(train.gflops_per_s("train") if train else None),
        _ended(curve),
    )


def _lanes(count: int) -> str:
    return "1 lane" if count == 1 else f"{count:,} lanes"


def _ended(curve: Curve) -> str:
    if curve.ended is None:
        return "not ended"
    return "its limit" if curve.next is None else f"{curve.ended} before {curve.next:,}"


def rule(measured: Measured) -> Table:
    """Whether "the ideal batch size is the largest that the hardware supports" holds here."""
    columns = (Column("entry"), Column("lanes", right=True), Column("", wrap=True))
    rows = tuple(
        (curve.entry, units.count(curve.fixed), f"{_NAMES[kind]}: {ruling(curve, kind).words}")
        for curve in all_curves(measured)
        if curve.over == "batch"
        for kind in KINDS
    )
    return Table("Is the ideal batch size the largest that the hardware supports?", columns, rows)


def conditions(measured: Measured) -> Table:
    """What it took, on what it ran, and how it was timed."""
    start = measured.starts[-1] if measured.starts else {}
    settings, energy = start.get("benchmark", {}), start.get("energy")
    why = Counter(skip.why for skip in measured.skips)
    compile_s = sum(point.compile_s for point in measured.points.values())
    points = f"{units.count(len(measured.points))} measured; curves ended: "
    points += f"{why['time']} by time, {why['memory']} by memory"
    taken = (
        f"{units.seconds(measured.wall_s())} of {units.seconds(settings.get('seconds'))} given, of "
    )
    taken += f"which compiling {units.seconds(compile_s)}"
    rows = (
        ("suite", settings.get("suite") or units.UNKNOWN),
        ("started", start.get("time") or units.UNKNOWN),
        ("points", points),
        ("time", taken),
        *hardware(start.get("hardware", {})),
        *software(start.get("software", {})),
        (
            "energy",
            _ENERGY.get(energy or "", f"{units.UNKNOWN}: neither NVML nor RAPL could be read"),
        ),
        ("how timed", _HOW_TIMED),
        ("how counted", _HOW_COUNTED),
    )
    return Table("Conditions", FACTS, rows)


def show(console: Console, measured: Measured) -> None:
    """Prints all of it."""
    for name in measured.entries:
        show_tables(console, of_entry(measured, name))
    show_tables(console, conclusions(measured))


def show_tables(console: Console, tables: Iterable[Table]) -> None:
    for table in tables:
        console.print(to_rich(table, console.width))


def conclusions(measured: Measured) -> tuple[Table, ...]:
    """What is said when all entries are known."""
    return full(measured), rule(measured), conditions(measured)
