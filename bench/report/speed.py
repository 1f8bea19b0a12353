"""How fast each program trained. Unknown is None throughout.

The first dispatch of a program in each process is its warm-up: no rate and no milliseconds are
taken from it. Its padding counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import roofline
from bench.record import WORK, Dispatches, ProgramRecord, Results
from bench.roofline import Bound, Work
from bench.timing import Spread


@dataclass(frozen=True)
class Timing:
    """One program's speed.

    Attributes:
        trials: how many share the program: those planned, and those that came later.
        batch_sizes: of its trials.
        microbatch: examples an iteration; a step of a trial takes its batch size of them.
        padded: narrower or shallower trials run in the layers of the widest and deepest.
        parameters: of those layers.
        compile_s: measured, over all processes, like `tune_s`, `input_s` (None where an older journal does
            not tell), `train_s` and `eval_s`, all dispatches included.
        expected_s: what the planner expected: `compile`, and `train`, which evaluating is part of.
        ms_per_step: batch size → milliseconds in which every active lane makes one update, over dispatches.
        ms_per_step_per_trial: batch size → the median of that over the active lanes of its dispatch.
        examples_per_s: real training examples, over all lanes.
        gflops_per_s: of their forward and backward passes at their trials' own widths; augmentation and
            optimizer not counted.
        padding_waste: the share of the training FLOPs computed that no trial needed: those of padded
            widths, short last batches and idle lanes.
        expected_waste: the same as the planner expected it, its known trials alone.
        peak_bytes: the most memory in use on a device.
        flops_per_iteration, bytes_per_iteration: of one lane's training iteration at the program's own
            widths (`roofline.work`).
        xla_flops, xla_bytes: the same by XLA's count, all that is computed.
        intensity: FLOPs for each byte.
        bound: "compute" or "memory": what limits it on this machine first.
        peak_fraction: `gflops_per_s` of what the machine can reach under that bound. More than 1 is possible
            where memory bounds and the caches are quicker. None, like the bound, until peaks are measured.
    """

    program: str
    trials: int
    lanes: int
    batch_sizes: tuple[int, ...]
    microbatch: int
    padded: bool
    strategy: str
    parameters: int
    compile_s: float
    train_s: float
    eval_s: float
    expected_s: Mapping[str, float | None]
    ms_per_step: Mapping[int, Spread]
    ms_per_step_per_trial: Mapping[int, float | None]
    examples_per_s: float | None
    gflops_per_s: float | None
    padding_waste: float | None
    expected_waste: float | None
    peak_bytes: int | None
    flops_per_iteration: float | None
    bytes_per_iteration: float | None
    xla_flops: float | None
    xla_bytes: float | None
    intensity: float | None
    bound: str | None
    peak_fraction: float | None
    tune_s: float
    input_s: float | None


def timings(results: Results) -> tuple[Timing, ...]:
    """The speed of every program, in the order they were compiled."""
    members = {name: set(p.plan["trials"]) for name, p in results.programs.items()}
    for record in results.trials.values():
        members.setdefault(record.program, set()).add(record.trial.id)
    return tuple(
        _timing(p, len(members[name]), results.tune_s.get(name, 0.0), results.peaks)
        for name, p in results.programs.items()
    )


def _timing(
    record: ProgramRecord, trials: int, tune_s: float, peaks: Mapping[str, Any] | None
) -> Timing:
    plan, train = record.plan, record.train
    seconds, iterations, lanes = (train.column(n) for n in ("seconds", "iterations", "lanes"))
    kept = counted(train)
    ms = 1000 * seconds[kept] / iterations[kept]
    per_trial = Spread.of(ms / lanes[kept]).median
    of_step = {b: iterations_of_step(b, plan["microbatch"]) for b in plan["batch_sizes"]}
    rate = _rate(train, "flops", kept)
    work = {name: record.work.get(name) for name in WORK}
    intensity, bound = _roof(work, peaks)
    return Timing(
        program=plan["id"],
        trials=trials,
        lanes=plan["lanes"],
        batch_sizes=tuple(plan["batch_sizes"]),
        microbatch=plan["microbatch"],
        padded=plan["padded"],
        strategy=plan["strategy"],
        parameters=plan["parameters"],
        compile_s=record.compile_s,
        train_s=float(seconds.sum()),
        eval_s=record.eval_s,
        expected_s={"compile": plan.get("compile_s"), "train": plan.get("train_s")},
        ms_per_step={b: Spread.of(n * ms) for b, n in of_step.items()},
        ms_per_step_per_trial={
            b: None if per_trial is None else n * per_trial for b, n in of_step.items()
        },
        examples_per_s=_rate(train, "examples", kept),
        gflops_per_s=None if rate is None else rate / 1e9,
        padding_waste=_waste(train),
        expected_waste=plan.get("waste"),
        peak_bytes=record.peak_bytes,
        **work,
        intensity=intensity,
        bound=bound.kind if bound else None,
        peak_fraction=rate / bound.flops_per_s if bound and rate is not None else None,
        tune_s=tune_s,
        input_s=record.input_s,
    )


def _roof(
    work: Mapping[str, float | None], peaks: Mapping[str, Any] | None
) -> tuple[float | None, Bound | None]:
    """A program's arithmetic intensity, and what bounds it there."""
    flops, size = work["flops_per_iteration"], work["bytes_per_iteration"]
    if not flops or not size:
        return None, None
    intensity = Work(flops, size).intensity
    if peaks is None:
        return intensity, None
    return intensity, roofline.bound(intensity, peaks["flops_per_s"], peaks["bytes_per_s"])


def counted(train: Dispatches) -> np.ndarray:
    """(n,) which dispatches tell how fast a program is: all that trained something, but the warm-up."""
    iterations, lanes = train.column("iterations"), train.column("lanes")
    return (train.column("warmup") == 0) & (iterations > 0) & (lanes > 0)


def iterations_of_step(batch_size: int, microbatch: int) -> int:
    """How many iterations an update takes: the last of them may be shorter."""
    return math.ceil(batch_size / microbatch)


def _rate(train: Dispatches, name: str, kept: np.ndarray) -> float | None:
    seconds = train.column("seconds")[kept].sum()
    return float(train.column(name)[kept].sum() / seconds) if seconds else None


def _waste(train: Dispatches) -> float | None:
    computed = train.column("slot_flops").sum()
    return 1 - float(train.column("flops").sum() / computed) if computed else None
