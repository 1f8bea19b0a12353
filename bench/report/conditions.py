"""Under what conditions a sweep ran, and how its timings were taken."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bench.record import Results
from bench.report import stats, units
from bench.report.table import FACTS, Table

_HOW_TIMED = (
    "A clock stops when the device is done. The first dispatch of a program in each process is its "
    "warm-up: no rate is taken from it. Compiling, tuning, feeding the lanes, training and evaluating are "
    "timed apart. Peaks are measured after training, in the same process."
)
_HOW_COUNTED = (
    "Examples per second and FLOP/s count real examples in layers as wide as their trial's own, not "
    "padding. FLOPs are those of conv and dense layers; training takes three times the forward pass."
)


def conditions(results: Results) -> Table:
    """Hardware, versions, precision and data; how the timings were taken."""
    run = stats.newest_run(results)
    rows = (
        ("started", _known(run.get("time"))),
        ("command", _command(run.get("command"))),
        *hardware(run.get("hardware", {})),
        *_earlier(results),
        ("measured peaks", _peaks(results.peaks)),
        *software(run.get("software", {})),
        *_data(run.get("data", {})),
        ("how timed", _HOW_TIMED),
        ("how counted", _HOW_COUNTED),
    )
    return Table("Conditions", FACTS, rows)


def _command(flags: list[str] | None) -> str:
    return units.UNKNOWN if flags is None else shlex.join(["python", "-m", "bench.main", *flags])


def hardware(hardware: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Rows of what a run event says of the machine."""
    cores, memory = units.count(hardware.get("cores")), units.size(hardware.get("memory_bytes"))
    kind, platform = (_known(hardware.get(name)) for name in ("device_kind", "platform"))
    return (
        ("CPU", f"{_known(hardware.get('cpu'))}; cores: {cores}; memory: {memory}"),
        ("devices", f"{units.count(hardware.get('devices'))} × {kind} (platform: {platform})"),
    )


def machines(results: Results) -> tuple[str, ...]:
    """What a sweep ran on, in the order of its starts, each once: devices, processor, JAX."""
    return tuple(dict.fromkeys(map(_machine, results.runs)))


def _machine(run: Mapping[str, Any]) -> str:
    hardware, software = run.get("hardware", {}), run.get("software", {})
    kind, cpu = (_known(hardware.get(name)) for name in ("device_kind", "cpu"))
    return (
        f"{units.count(hardware.get('devices'))} × {kind}, {cpu}; JAX {_known(software.get('jax'))}"
    )


def _earlier(results: Results) -> Iterator[tuple[str, str]]:
    now = _machine(stats.newest_run(results))
    others = [machine for machine in machines(results) if machine != now]
    if others:
        yield "earlier on", f"{', then '.join(others)}. Times and rates are of all together."


def _peaks(peaks: Mapping[str, Any] | None) -> str:
    if peaks is None:
        return units.UNKNOWN
    flops, size = (units.number(peaks[name] / 1e9) for name in ("flops_per_s", "bytes_per_s"))
    return (
        f"{flops} GFLOP/s, product of {peaks['precision']} matrices; {size} GB/s, reading and writing "
        f"memory; all devices at once, best of {units.count(peaks['n'])} dispatches"
    )


def software(software: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Rows of what a run event says of versions and settings."""
    packages = {"python": "Python", "jax": "JAX", "flax": "Flax", "optax": "Optax"}
    versions = [f"{title} {_known(software.get(name))}" for name, title in packages.items()]
    flags = "none" if software.get("xla_flags") == "" else _known(software.get("xla_flags"))
    matmul = _known(software.get("matmul_precision"))
    return (
        ("versions", ", ".join(versions)),
        ("git commit", _known(software.get("git_commit"))),
        ("XLA flags", flags),
        ("precision", f"{_known(software.get('precision'))}; matmul precision: {matmul}"),
    )


def _data(data: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    splits = {"train": "training", "valid": "validation", "test": "test"}
    counts = [f"{units.count(data.get(name))} {title}" for name, title in splits.items()]
    return (
        ("data set", f"{_known(data.get('name'))}, fingerprint {_known(data.get('fingerprint'))}"),
        ("examples", f"{', '.join(counts)}; classes: {units.count(data.get('classes'))}"),
        ("data licence", _known(data.get("licence"))),
    )


def _known(value: Any) -> str:
    return units.UNKNOWN if value is None or value == "" else str(value)
