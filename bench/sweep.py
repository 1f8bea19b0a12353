"""The loop that trains a sweep. Read it from top to bottom: this is the product.

sampler ─► trials ─► programs' lanes: fill · train · evaluate ─► journal ─► report
   ▲                                                 │
   └──────────────────── metrics ────────────────────┘
"""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import layers as architecture
from bench.best import Best
from bench.data import Dataset
from bench.pool import Pool
from bench.program import Program, Seat
from bench.record import Journal, Results, finite, write_file
from bench.report import Progress
from bench.search import Sampler
from bench.timing import Clock, Stopwatch
from bench.trial import Trial


class Sweep:
    """Trains every trial that a sampler hands out.

    Args:
        sampler: who hands out trials.
        pool: the programs that train them.
        dataset: what they train on.
        workdir: the run directory, with its journal.
        journal: where everything is recorded first.
        results: what the journal holds so far; trials completed there are not trained again.
        progress: the live view.
        limit_s: wall-clock limit in seconds, ∞ for none.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        sampler: Sampler,
        pool: Pool,
        dataset: Dataset,
        workdir: Path,
        journal: Journal,
        results: Results,
        progress: Progress,
        limit_s: float = math.inf,
        clock: Clock = time.perf_counter,
    ):
        self.sampler, self.pool = sampler, pool
        self.dataset, self.workdir = dataset, workdir
        self.journal, self.results = journal, results
        self.progress, self.limit_s, self.clock = progress, limit_s, clock
        self.watch = Stopwatch(clock)
        self._done_epochs = 0
        self._planned_epochs = (0, 0)  # of how many known trials
        self._warm: set[str] = set()
        self._noted: list[Mapping[str, Any]] = []

    def run(self) -> str:
        """Trains until no trial is left or time is up; returns which: "completed" or "time limit"."""
        start = self.clock()
        self._done_epochs = sum(r.trial["epochs"] for r in self.results.trials.values())
        while self.fill():
            for program in self.pool:
                if self.clock() - start > self.limit_s:
                    self.pause()
                    return "time limit"
                if program.seated:
                    self.train(program)
        return "completed"

    def fill(self) -> bool:
        """Seats waiting trials in free lanes; False once nothing waits and nothing is at work."""
        self._ask()
        self.compile()
        self.pool.close_idle()
        for program in self.pool:
            ready = program.lanes is not None and program.between_epochs
            if program.waiting and ready and self.pool.may_open(program):
                # Written with the first thing that happens to them: to begin is nothing to lose.
                self.note(*(self._started(seat.trial, program) for seat in program.fill()))
        return any(program.seated for program in self.pool)

    def _ask(self) -> None:
        """Asks for trials until every program's free lanes are spoken for, or the sampler has none."""
        while any(program.has_room for program in self.pool):
            trial = self.sampler.ask()
            if trial is None:
                return
            if trial.id in self.results.trials:  # an earlier process may have trained it
                continue
            program = self.pool.home(trial)
            if program.error:
                self._fail(program, [trial])
            else:
                program.waiting.append(trial)

    def compile(self) -> None:
        """Tunes and compiles programs that somebody waits for, before anything of theirs runs or is timed.

        On an accelerator others train meanwhile; where the host's cores are the devices, that would slow
        both. One that does not fit the devices is taken apart, and what is too large by itself fails.
        """
        while (programs := self.pool.to_compile()) or self.pool.compiling:
            busy = any(p.seated or (p.waiting and p.lanes) for p in self.pool)
            with self.watch("compile"):
                self._tune(programs)
                self.pool.compile(programs)
                least = self.pool.compiling if not self.pool.overlaps else 0 if busy else 1
                done = self.pool.compiled(least)
                for program in done:
                    self._compiled(program)
            seconds = self.watch.take("compile")
            if programs or done:
                self.record({"event": "compile", "seconds": seconds})
                left = f", {self.pool.compiling} to come" if self.pool.compiling else ""
                self.progress.message(f"programs compiled: {len(done)}{left}")
            if self.pool.overlaps and not programs:
                return

    def _tune(self, programs: Sequence[Program]) -> None:
        for program in programs:
            with self.watch("tune"):
                program.tune()
            tune_s = self.watch.take("tune")
            self.record({"event": "tune", "program": program.plan.id, "seconds": tune_s})
        if programs:
            # Before anything is computed by it: who goes on with this run goes on by the same plan.
            plans = {"programs": [program.plan.to_json() for program in self.pool]}
            write_file(self.workdir / "plan.json", json.dumps(plans, indent=1).encode())
            self.progress.message(f"programs to compile: {len(programs)}")

    def _compiled(self, program: Program) -> None:
        if program.error:
            if not self.pool.split(program):
                self._fail(program, [w for w in program.waiting if isinstance(w, Trial)])
                program.waiting.clear()
            return
        about = {
            "compile_s": program.ready.compile_s,
            "peak_bytes": program.ready.peak_bytes,
            **program.work(),
        }
        self.record({"event": "program", "plan": program.plan.to_json(), **about})

    def _started(self, trial: Trial, program: Program) -> dict[str, Any]:
        layers = trial.layers(self.dataset.classes)
        parameters = architecture.parameters(layers, self.dataset.image_shape)
        about = {"program": program.plan.id, "parameters": parameters}
        return {"event": "trial", **trial.to_json(), **about}

    def _fail(self, program: Program, trials: Iterable[Trial]) -> None:
        """Records trials that cannot be trained here, and why."""
        for trial in trials:
            end = {"event": "end", "trial": trial.id, "status": "failed", "seconds": 0.0}
            self.record(self._started(trial, program), {**end, "error": str(program.error)})
            self.sampler.tell(trial, {}, ended=True)
            self._done_epochs += trial["epochs"]

    def train(self, program: Program) -> None:
        """One dispatch of one program, and what an epoch's end brings with it."""
        event = program.train()
        # The first dispatch of a program pays for loading it: no rate is taken from it.
        self.note({**event, "warmup": program.plan.id not in self._warm})
        self._warm.add(program.plan.id)
        if program.between_epochs:
            self.evaluate(program)
        self.record()
        busy = sum(len(p.seated) for p in self.pool)
        self.progress.refresh(self.results, busy, self._done_epochs, self._epochs_known())

    def _epochs_known(self) -> int:
        """Of all trials that the sampler can name, counted again when there are more of them."""
        known = self.sampler.known
        if len(known) != self._planned_epochs[0]:
            self._planned_epochs = len(known), sum(trial["epochs"] for trial in known)
        return self._planned_epochs[1]

    def evaluate(self, program: Program) -> None:
        """Measures every seat, records it, tells the sampler, frees the lanes of those that ended."""
        rows, event = program.evaluate()
        events: list[dict[str, Any]] = [event]
        completed: list[tuple[int, Seat, dict[str, Any]]] = []
        for seat, metrics in zip(program.seated, (finite(row) for row in rows), strict=True):
            step = seat.epoch * len(seat.rates) // seat.trial["epochs"]
            about = {"trial": seat.trial.id, "epoch": seat.epoch, "step": step}
            events.append({"event": "epoch", **about, **metrics})
            status = self._status(seat, metrics)
            self.sampler.tell(seat.trial, metrics, ended=bool(status))
            self._done_epochs += 1
            if status:
                events.append(self._ended(seat, status))
                lane = seat.lane
                program.leave(seat)
                # A trial that diverged or reached its target has no more epochs to do.
                self._done_epochs += seat.trial["epochs"] - seat.epoch
            if status == "completed":  # its lane keeps its weights until it is filled again
                completed.append((lane, seat, metrics))
        self._keep_best(program, completed)
        self.note(*events)

    def _status(self, seat: Seat, metrics: Mapping[str, Any]) -> str:
        """How a trial ended with this epoch, "" if it goes on."""
        if metrics["running_loss"] is None or metrics["train_loss"] is None:  # not finite
            return "diverged"
        accuracy = metrics[f"{self.results.rank_by}_accuracy"]
        target = seat.trial.settings.get("target_accuracy", math.inf)
        reached = accuracy is not None and accuracy >= target
        return "completed" if reached or seat.epoch == seat.trial["epochs"] else ""

    def _ended(self, seat: Seat, status: str) -> dict[str, Any]:
        return {"event": "end", "trial": seat.trial.id, "status": status, "seconds": seat.seconds}

    def _keep_best(
        self, program: Program, completed: Sequence[tuple[int, Seat, dict[str, Any]]]
    ) -> None:
        """Writes `best.npz` if the best of all is among these trials, which have just ended.

        It is written before the journal says that they are done: a kill between loses nothing.
        """
        if not completed:
            return
        lane, seat, metrics = min(completed, key=lambda c: self.results.score(c[1].trial.id, c[2]))
        if self.results.beats_completed(seat.trial.id, metrics):
            Best(
                trial=seat.trial,
                classes=self.dataset.class_names,
                preprocessing=self.dataset.preprocessing,
                weights=program.ready.weights(lane, seat.trial),
                test_predictions=program.ready.test_predictions(lane),
                metrics=metrics,
            ).write(self.workdir)

    def pause(self) -> None:
        """Ends in order with trials unfinished: they are recorded as paused, as far as they came."""
        for program in self.pool:
            self.record(*(self._ended(seat, "paused") for seat in program.seated))

    def note(self, *events: Mapping[str, Any]) -> None:
        """Events to be written with the next that are recorded, in one wait for the disk."""
        self._noted += events

    def record(self, *events: Mapping[str, Any]) -> None:
        """Writes events to the journal, those noted before them first, then takes them into the results."""
        written = [finite(event) for event in (*self._noted, *events)]
        self._noted.clear()
        self.journal.append(*written)
        for event in written:
            self.results.add(event)
