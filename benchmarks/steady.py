"""Steady training: every contender trains an epoch in every round, in turn, compiled long before.

All of them are there at once, each in its own processes, which wait for their turn and cost nothing while
they wait. So what else the machine does falls on all alike, and a ratio is taken between neighbours in time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.crew import Crew, CrewError, Layout
from benchmarks.rows import Row
from benchmarks.works import Work

WARM_UP = 2  # epochs before the rounds: one compiles, one chooses among variants


def run(
    name: str,
    work: Work,
    layouts: Sequence[Layout],
    rounds: int,
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> tuple[list[Row], dict[str, str]]:
    """The rows of a work, values in milliseconds per step and trial; and who could not run, and why.

    Args:
        name: of the work.
        work: what is trained.
        layouts: who trains it, and in how many processes.
        rounds: how many.
        settings: `data_dir`, `steps` (0: the work's own), `lanes` (0: the work's own).
        say: where progress is told.
    """
    steps, lanes = settings["steps"] or work.steps, settings["lanes"] or work.lanes
    job = {"data_dir": settings["data_dir"], "steps": steps}
    rows: dict[Crew, Row] = {}
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        for layout in layouts:
            every = range(lanes if layout.entry.together else layout.processes)
            trials = [
                list(every)[process :: layout.processes] for process in range(layout.processes)
            ]
            start = time.perf_counter()
            crew = stack.enter_context(Crew(layout, name, trials, job))
            try:
                ready = crew.answers()[0]["ready"]
            except CrewError as error:
                skipped[str(layout)] = str(error)
                say(f"{name}: {layout} cannot run: {error}")
                continue
            rows[crew] = Row(str(layout), [], layout.processes, None, _note(ready), ready)
            say(f"{name}: {layout} is ready after {time.perf_counter() - start:.0f} s")
        crews = list(rows)
        for number in range(rounds):
            turn = number % len(crews)
            for crew in crews[turn:] + crews[:turn]:
                seconds = max(answer["seconds"] for answer in crew.ask("epoch"))
                ms = 1000 * seconds / steps / sum(map(len, crew.trials))
                rows[crew].values.append(ms)
            told = ", ".join(f"{row.name} {row.values[-1]:.3g}" for row in rows.values())
            say(f"{name}: round {number + 1} of {rounds}, ms per step and trial: {told}")
        for crew, row in rows.items():
            row.accuracy = crew.ask("evaluate")[0]["test_accuracy"]
    return list(rows.values()), skipped


def _note(ready: Mapping[str, Any]) -> str:
    return ", ".join(n if on else f"no {n}" for n, on in ready["variant"].items())
