"""The loop that trains a sweep. Read it from top to bottom: this is the product.

sampler ─► trials ─► programs' lanes: fill · train · evaluate ─► journal ─► report
   ▲                                                 │
   └──────────────────── metrics ────────────────────┘
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import layers as architecture
from bench.best import Best
from bench.data import Dataset
from bench.program import Program, Seat
from bench.record import Journal, Results, finite
from bench.report import Progress
from bench.search import Sampler
from bench.trial import Trial


class Sweep:
    """Trains every trial that a sampler hands out.

    Args:
        sampler: who hands out trials.
        programs: what runs them; compiled here.
        program_of: a trial → the id of its program.
        dataset: what they train on.
        workdir: the run directory, with its journal.
        journal: where everything is recorded first.
        results: what the journal holds so far; trials completed there are not trained again.
        progress: the live view.
        limit_s: wall-clock limit in seconds, ∞ for none.
        compilers: programs compiled at a time.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        sampler: Sampler,
        programs: Sequence[Program],
        program_of: Callable[[Trial], str],
        dataset: Dataset,
        workdir: Path,
        journal: Journal,
        results: Results,
        progress: Progress,
        limit_s: float = math.inf,
        compilers: int = 1,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.sampler, self.program_of = sampler, program_of
        self.programs = {program.plan.id: program for program in programs}
        self.dataset, self.workdir = dataset, workdir
        self.journal, self.results = journal, results
        self.progress, self.limit_s, self.clock = progress, limit_s, clock
        self.compilers = compilers
        self._done_epochs = 0
        self._warm: set[str] = set()

    def run(self) -> str:
        """Trains until no trial is left or time is up; returns which: "completed" or "time limit"."""
        start = self.clock()
        self._done_epochs = sum(r.trial["epochs"] for r in self.results.trials.values())
        while self.fill():
            for program in self.programs.values():
                if self.clock() - start > self.limit_s:
                    self.pause()
                    return "time limit"
                if program.seated:
                    self.train(program)
        return "completed"

    def fill(self) -> bool:
        """Seats waiting trials in free lanes; False once nothing waits and nothing is at work."""
        self._ask()
        self.compile([p for p in self.programs.values() if p.waiting and not p.lanes.compiled])
        for program in self.programs.values():
            if program.between_epochs:
                self.record(*(self._started(program, seat) for seat in program.fill()))
        return any(program.seated for program in self.programs.values())

    def compile(self, programs: Sequence[Program]) -> None:
        """Compiles programs, `compilers` at a time, before anything of theirs runs or is timed."""
        if not programs:
            return
        start = self.clock()
        self.progress.message(f"programs to compile: {len(programs)}")

        def compiled(program: Program) -> Program:
            program.lanes.compile(program.waiting[0])
            return program

        with ThreadPoolExecutor(self.compilers) as pool:
            for number, program in enumerate(pool.map(compiled, programs), 1):
                plan, lanes = program.plan.to_json(), program.lanes
                about = {"compile_s": lanes.compile_s, "peak_bytes": lanes.peak_bytes}
                self.record({"event": "program", "plan": plan, **about})
                self.progress.message(f"compiled {number} of {len(programs)}")
        self.record({"event": "compile", "seconds": self.clock() - start})

    def _ask(self) -> None:
        """Asks for trials until every program's free lanes are spoken for, or the sampler has none."""
        while any(program.has_room for program in self.programs.values()):
            trial = self.sampler.ask()
            if trial is None:
                return
            if trial.id not in self.results.trials:  # an earlier process may have trained it
                self.programs[self.program_of(trial)].waiting.append(trial)

    def _started(self, program: Program, seat: Seat) -> dict[str, Any]:
        layers = seat.trial.layers(self.dataset.classes)
        parameters = architecture.parameters(layers, self.dataset.image_shape)
        about = {"program": program.plan.id, "parameters": parameters}
        return {"event": "trial", **seat.trial.to_json(), **about}

    def train(self, program: Program) -> None:
        """One dispatch of one program, and what an epoch's end brings with it."""
        event = program.train()
        # The first dispatch of a program pays for loading it: no rate is taken from it.
        self.record({**event, "warmup": program.plan.id not in self._warm})
        self._warm.add(program.plan.id)
        if program.between_epochs:
            self.evaluate(program)
        busy = sum(len(p.seated) for p in self.programs.values())
        planned = sum(trial["epochs"] for trial in self.sampler.known)
        self.progress.refresh(self.results, busy, self._done_epochs, planned)

    def evaluate(self, program: Program) -> None:
        """Measures every seat, records it, tells the sampler, frees the lanes of those that ended."""
        rows, event = program.evaluate()
        events, completed = [event], []
        for seat, metrics in zip(program.seated, (finite(row) for row in rows), strict=True):
            step = seat.epoch * program.lanes.steps_per_epoch
            about = {"trial": seat.trial.id, "epoch": seat.epoch, "step": step}
            events.append({"event": "epoch", **about, **metrics})
            status = self._status(seat, metrics)
            self.sampler.tell(seat.trial, metrics, ended=bool(status))
            self._done_epochs += 1
            if status:
                events.append(self._ended(seat, status))
                program.leave(seat)
                # A trial that diverged has no more epochs to do.
                self._done_epochs += seat.trial["epochs"] - seat.epoch
            if status == "completed":
                completed.append((seat, metrics))
        self._keep_best(program, completed)
        self.record(*events)

    def _status(self, seat: Seat, metrics: Mapping[str, Any]) -> str:
        """How a trial ended with this epoch, "" if it goes on."""
        if metrics["running_loss"] is None or metrics["train_loss"] is None:  # not finite
            return "diverged"
        return "completed" if seat.epoch == seat.trial["epochs"] else ""

    def _ended(self, seat: Seat, status: str) -> dict[str, Any]:
        return {"event": "end", "trial": seat.trial.id, "status": status, "seconds": seat.seconds}

    def _keep_best(
        self, program: Program, completed: Sequence[tuple[Seat, dict[str, Any]]]
    ) -> None:
        """Writes `best.npz` if the best of all is among these trials, which have just ended.

        It is written before the journal says that they are done: a kill between loses nothing.
        """
        if not completed:
            return
        seat, metrics = min(completed, key=lambda c: self.results.score(c[0].trial.id, c[1]))
        if self.results.beats_completed(seat.trial.id, metrics):
            Best(
                trial=seat.trial,
                classes=self.dataset.class_names,
                preprocessing=self.dataset.preprocessing,
                weights=program.lanes.weights(seat.lane),
                test_predictions=program.lanes.test_predictions(seat.lane),
                metrics=metrics,
            ).write(self.workdir)

    def pause(self) -> None:
        """Ends in order with trials unfinished: they are recorded as paused, as far as they came."""
        for program in self.programs.values():
            self.record(*(self._ended(seat, "paused") for seat in program.seated))

    def record(self, *events: Mapping[str, Any]) -> None:
        """Writes events to the journal, then takes them into the results."""
        written = [finite(event) for event in events]
        self.journal.append(*written)
        for event in written:
            self.results.add(event)
