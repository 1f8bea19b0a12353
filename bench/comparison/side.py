"""What is compared: a run, or several that repeat it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.comparison.benchmark import of_benchmark
from bench.comparison.run import Key, Run
from bench.comparison.sweep import of_sweep
from bench.errors import ConfigError, brief
from bench.points import Measured, is_benchmark
from bench.record import SCHEMA, RecordError, Results, check_schema
from bench.report.views import told

_MACHINE = ("cpu", "cores", "platform", "devices", "device_kind", "machine", "system")


def read(path: Path) -> Run:
    """What a run directory tells.

    Raises:
        RecordError: it cannot be read, or holds what no run records.
    """
    if is_benchmark(path):
        measured = Measured.read(path)
        for start in measured.starts:
            check_schema(start.get("schema", SCHEMA), str(path))
        with told(path):
            return of_benchmark(path, measured)
    results = Results.read(path)
    try:
        with told(path):
            return of_sweep(path, results)
    except ConfigError as error:  # of settings that no config holds
        raise RecordError(f"{path}: {brief(error)}; compare other runs") from error


@dataclass(frozen=True)
class Side:
    """Runs that repeat each other, known by a letter.

    Raises:
        ConfigError: runs that do not repeat each other.
    """

    name: str
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        first, *others = self.runs
        for run in others:
            differing = [name for name, *_ in differences((first, run))]
            if differing or run.sweep != first.sweep:
                what = ", ".join(differing[:5]) or "kind"
                raise ConfigError(
                    f"{run.path} does not repeat {first.path}: they differ in {what}; give them as sides"
                )

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def keys(self) -> set[Key]:
        """What all of its runs have timed."""
        return set.intersection(*(run.keys for run in self.runs))

    @property
    def bytes_per_s(self) -> float | None:
        """What memory gave, the geometric mean over the runs; None if one does not tell."""
        logs = [math.log(run.bytes_per_s) for run in self.runs if run.bytes_per_s]
        return math.exp(sum(logs) / len(logs)) if len(logs) == len(self.runs) else None


def differences(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """The conditions that are not the same in all runs: a name, and each run's text, "" where unknown."""
    names = dict.fromkeys(name for run in runs for name in run.conditions)
    rows = [(name, *(run.conditions.get(name, "") for run in runs)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def machine(first: Side, second: Side) -> float:
    """The logarithm by which memory was slower when the second side ran, on the same hardware.

    0 where the hardware is another, or one of the runs does not tell: then there is nothing to hold it
    against.
    """
    one, other = first.first.conditions, second.first.conditions
    same = "cpu" in one and all(one.get(name) == other.get(name) for name in _MACHINE)
    if not same or not first.bytes_per_s or not second.bytes_per_s:
        return 0.0
    return math.log(first.bytes_per_s / second.bytes_per_s)


def alike(first: Side, second: Side) -> bool:
    """Whether the work is on pictures of one shape; or of one suite."""
    (shape, data), (other, others) = first.first.pictures, second.first.pictures
    same_data = data is not None and data == others
    return same_data or (shape is not None and shape == other)
