"""The figures of a whole sweep, from the journal's records. Unknown is None throughout."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.record import Results

_Z95 = 1.959964  # of the normal distribution: 95 % lie within ± this


@dataclass(frozen=True)
class Totals:
    """What the whole sweep took, in seconds.

    Attributes:
        wall_s: of the newest process, from its start to its end; None while it runs.
        compile_s: of all processes, like `train_s` and `eval_s`.
        data_s: of the newest process: reading and preparing the data.
        statuses: how many trials have each status.
        trials_per_hour: completed ones over wall time; None after a resume, since nobody
            recorded how long a process that was killed had run.
        processes: how many starts the sweep needed.
        reason: why the newest process ended.
    """

    wall_s: float | None
    compile_s: float
    train_s: float
    eval_s: float
    data_s: float | None
    statuses: Mapping[str, int]
    trials_per_hour: float | None
    processes: int
    reason: str | None


def totals(results: Results) -> Totals:
    """The sums of a whole run, in seconds; None where the journal does not tell."""
    finish = results.finished or {}
    programs = results.programs.values()
    statuses = {status: n for status, n in sorted(results.statuses.items()) if n}
    wall = finish.get("wall_s")
    return Totals(
        wall_s=wall,
        compile_s=results.compile_s,
        train_s=sum(float(p.train.column("seconds").sum()) for p in programs),
        eval_s=sum(p.eval_s for p in programs),
        data_s=finish.get("data_s"),
        statuses=statuses,
        trials_per_hour=(
            results.statuses["completed"] / (wall / 3600)
            if wall and len(results.runs) == 1
            else None
        ),
        processes=len(results.runs),
        reason=finish.get("reason"),
    )


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
