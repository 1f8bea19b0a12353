"""The figures of a whole sweep, from the journal's records. Unknown is None throughout."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.record import Results

_Z95 = 1.959964  # of the normal distribution: 95 % lie within ± this


@dataclass(frozen=True)
class Totals:
    """What the whole sweep took, in seconds. No second is in two of them.

    Attributes:
        wall_s: of the newest process, from its start to its end; None while it runs.
        whole_s: of all processes, each up to the checkpoint from which the next one went on, or to its end
            where there was none; None where one was killed without: nobody knows how long it had run.
        compile_s: of all processes, like all down to `eval_s`.
        tune_s: choosing how programs compute.
        input_s: giving lanes what they train on; None if a journal is too old to tell.
        train_s: training dispatches.
        eval_s: evaluating dispatches.
        peaks_s: of the newest process: measuring what the machine reaches.
        data_s: of the newest process: reading and preparing the data.
        other_s: wall time of all processes that is none of these: starting JAX, planning, the journal.
        statuses: how many trials have each status.
        trials_per_hour: completed ones over `whole_s`.
        processes: how many starts the sweep needed.
        reason: why the newest process ended.
    """

    wall_s: float | None
    whole_s: float | None
    compile_s: float
    tune_s: float
    input_s: float | None
    train_s: float
    eval_s: float
    peaks_s: float
    data_s: float | None
    other_s: float | None
    statuses: Mapping[str, int]
    trials_per_hour: float | None
    processes: int
    reason: str | None


def totals(results: Results) -> Totals:
    """The sums of a whole run, in seconds; None where the journal does not tell."""
    finish = results.finished or {}
    statuses = {status: n for status, n in sorted(results.statuses.items()) if n}
    wall, before = finish.get("wall_s"), newest_run(results).get("before_s")
    if len(results.runs) == 1 and before is None:  # of an older schema
        before = 0.0
    elif any(run.get("before_s") is None for run in results.runs[1:]):
        before = None  # older processes went on from there as if nothing had been
    # Of all that the phases are of.
    whole = None if wall is None or before is None else before + wall
    phases = {**_phases(results), "data_s": finish.get("data_s")}
    known = [seconds for seconds in phases.values() if seconds is not None]
    return Totals(
        wall_s=wall,
        whole_s=whole,
        **phases,
        other_s=whole - sum(known) if whole and len(known) == len(phases) else None,
        statuses=statuses,
        trials_per_hour=results.statuses["completed"] / (whole / 3600) if whole else None,
        processes=len(results.runs),
        reason=finish.get("reason"),
    )


def _phases(results: Results) -> dict[str, Any]:
    programs = results.programs.values()
    input_s = [p.input_s for p in programs if p.input_s is not None]
    return {
        "compile_s": results.compile_s,
        "tune_s": sum(results.tune_s.values()),
        "input_s": sum(input_s) if len(input_s) == len(programs) else None,
        "train_s": sum(float(p.train.column("seconds").sum()) for p in programs),
        "eval_s": sum(p.eval_s for p in programs),
        "peaks_s": results.peaks["seconds"] if results.peaks else 0.0,
    }


def newest_run(results: Results) -> dict[str, Any]:
    """The event of the newest start; empty where the journal holds none."""
    return results.runs[-1] if results.runs else {}


def wilson(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of an accuracy over `n` examples.

    Wilson's score interval: sound near 0 and 1, where good classifiers live.
    """
    z2 = _Z95**2 / n
    centre = (accuracy + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (accuracy * (1 - accuracy) + z2 / 4)) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)
