"""How fast each program trained. Unknown is None throughout.

The first dispatch of a program in each process is its warm-up: no rate and no milliseconds are
taken from it. Its padding counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.plan import training_flops
from bench.record import ProgramRecord, Results


@dataclass(frozen=True)
class Spread:
    """The middle of `n` measurements and where nine tenths of them lie."""

    median: float | None
    p5: float | None
    p95: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if not values:
            return cls(None, None, None, 0)
        p5, p50, p95 = (float(p) for p in np.percentile(values, (5, 50, 95)))
        return cls(p50, p5, p95, len(values))


@dataclass(frozen=True)
class Timing:
    """One program's speed.

    Attributes:
        trials: how many share the program: those planned, and those that came later.
        ms_per_step: milliseconds in which every active lane makes one update, over dispatches.
        ms_per_step_per_trial: the median of that over the active lanes of its dispatch.
        examples_per_s: real training examples, over all lanes.
        gflops_per_s: of their forward and backward passes; augmentation and optimizer not counted.
        padding_waste: the fraction of computed example slots that held no real example.
        peak_bytes: the most memory in use on a device.
        peak_fraction: of the FLOP/s that the machine can reach; unknown until that is measured.
    """

    program: str
    trials: int
    lanes: int
    batch_size: int
    strategy: str
    parameters: int
    compile_s: float
    ms_per_step: Spread
    ms_per_step_per_trial: float | None
    examples_per_s: float | None
    gflops_per_s: float | None
    padding_waste: float | None
    peak_bytes: int | None
    peak_fraction: float | None = None


def timings(results: Results) -> tuple[Timing, ...]:
    """The speed of every program, in the order they were compiled."""
    members = {name: set(p.plan["trials"]) for name, p in results.programs.items()}
    for record in results.trials.values():
        members.setdefault(record.program, set()).add(record.trial.id)
    return tuple(_timing(p, len(members[name])) for name, p in results.programs.items())


def _timing(record: ProgramRecord, trials: int) -> Timing:
    measured = [d for d in record.train if not d["warmup"] and d["steps"] and d["lanes"]]
    slots = sum(d["slots"] for d in record.train)
    rate = _ratio(sum(d["examples"] for d in measured), sum(d["seconds"] for d in measured))
    # Convention: a backward pass takes twice the FLOPs of the forward pass.
    flops = training_flops(record.plan["flops_per_example"])
    per_trial = [1000 * d["seconds"] / d["steps"] / d["lanes"] for d in measured]
    return Timing(
        program=record.plan["id"],
        trials=trials,
        lanes=record.plan["lanes"],
        batch_size=record.plan["batch_size"],
        strategy=record.plan["strategy"],
        parameters=record.plan["parameters"],
        compile_s=record.compile_s,
        ms_per_step=Spread.of([1000 * d["seconds"] / d["steps"] for d in measured]),
        ms_per_step_per_trial=median(per_trial) if per_trial else None,
        examples_per_s=rate,
        gflops_per_s=None if rate is None else rate * flops / 1e9,
        padding_waste=1 - sum(d["examples"] for d in record.train) / slots if slots else None,
        peak_bytes=record.peak_bytes,
    )


def _ratio(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds else None
