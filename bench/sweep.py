"""The loop that trains a sweep. Read it from top to bottom: this is the product.

sampler ─► trials ─► programs' lanes: fill · train · evaluate ─► journal ─► report
   ▲                                          │    │
   └───────────────── metrics ────────────────┘    └─► checkpoint
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jax.errors import JaxRuntimeError

from bench import layers as architecture
from bench import memory, snapshot
from bench.checkpoint import Saved
from bench.data import Dataset
from bench.directory import RunDirectory
from bench.keeper import Keeper
from bench.pace import Pace
from bench.pool import Pool
from bench.profiler import Profiler
from bench.program import Program, Seat
from bench.record import finite
from bench.report import Progress
from bench.search import Sampler
from bench.stop import Stop
from bench.timing import Clock, Stopwatch
from bench.trial import Trial
from bench.work import Work

_ERROR_LENGTH = 1000  # of what XLA says, in characters


class Sweep:
    """Trains every trial that a sampler hands out.

    Args:
        sampler: who hands out trials.
        pool: the programs that train them.
        dataset: what they train on.
        directory: where everything is recorded first. Trials completed there are not trained again.
        run: the event with which this process's part of the journal begins.
        plan: writes `plan.json`, when something has been decided.
        progress: the live view.
        stop: says when to end before all is done.
        keeper: of trained parameters.
        profiler: of training dispatches.
        pace: of checkpoints.
        elapsed_s: seconds that the run has taken so far, in all its processes; None where nobody knows.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        sampler: Sampler,
        pool: Pool,
        dataset: Dataset,
        directory: RunDirectory,
        run: Mapping[str, Any],
        plan: Callable[[], None],
        progress: Progress,
        stop: Stop,
        keeper: Keeper,
        profiler: Profiler,
        pace: Pace,
        elapsed_s: Callable[[], float | None] = time.perf_counter,
        clock: Clock = time.perf_counter,
    ):
        self.sampler, self.pool, self.dataset = sampler, pool, dataset
        self.directory, self._begins, self._write_plan = directory, run, plan
        self.progress, self.stop, self.clock = progress, stop, clock
        self.keeper, self.profiler, self.pace = keeper, profiler, pace
        self.elapsed_s = elapsed_s
        self.watch = Stopwatch(clock)
        self._start = sampler.state()
        self._seen: set[str] = set()  # trials that need not be asked for again
        self._work = Work(pool, sampler)

    def begin(self, saved: Saved | None) -> None:
        """Puts everything where a checkpoint has it; without one, unfinished trials begin again."""
        self.directory.begin(saved, self._begins)
        for program in self.pool:
            program.clear()
        self.sampler.restore(self._start)
        trials = self.directory.results.trials
        if saved is not None:
            snapshot.bring_back(saved, self.pool, self.sampler, trials, self.dataset)
        waiting = (w.id for p in self.pool for w in p.waiting if isinstance(w, Trial))
        self._seen = {*trials, *waiting}
        self._work.begin(trials.values())
        for program in self.pool:  # what is compiled stays so
            if program.lanes is not None:
                self._announce(program, compile_s=0.0)

    def run(self) -> str:
        """Trains until no trial is left or somebody stops it; "completed", or the reason to stop."""
        while True:
            try:
                if not self.fill():
                    return "completed"
                if self.stop.reason:
                    self.pause()
                    return self.stop.reason
                self.train(self.pool.next())
                written = self.directory.checkpoints
                if not written.busy and self.pace.due(written.seconds):
                    self.checkpoint()
            except _ExhaustedError as exhausted:
                self._retreat(exhausted)

    def fill(self) -> bool:
        """Seats waiting trials in free lanes; False once nothing waits and nothing is at work."""
        self._ask()
        self.compile()
        self.pool.close_idle()
        for program in self.pool:
            ready = program.lanes is not None and program.between_epochs
            if program.waiting and ready and self.pool.may_open(program):
                with self._on_device(program):
                    seats = program.fill()
                # Written with the first thing that happens to them: to begin is nothing to lose.
                self.directory.note(*(self._started(seat.trial, program) for seat in seats))
        return any(program.seated or program.waiting for program in self.pool)

    def _ask(self) -> None:
        """Asks for trials until every program's free lanes are spoken for, or the sampler has none."""
        while any(program.has_room for program in self.pool):
            trial = self.sampler.ask()
            if trial is None:
                return
            if trial.id in self._seen:  # an earlier process has begun it
                continue
            self._seen.add(trial.id)
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
                if not self._tune(programs):
                    return
                self.pool.compile([program for program in programs if program.error is None])
                least = self.pool.compiling if not self.pool.overlaps else 0 if busy else 1
                done = self.pool.compiled(least, lambda: bool(self.stop.reason))
                failed = [program for program in programs if program.error and program not in done]
                for program in (*failed, *done):
                    self._compiled(program)
                if done:  # before anything is computed by it
                    self._write_plan()
            seconds = self.watch.take("compile")
            if programs or done:
                self.directory.record({"event": "compile", "seconds": seconds})
                left = f", {self.pool.compiling} to come" if self.pool.compiling else ""
                self.progress.message(f"programs compiled: {len(done)}{left}")
            if self.stop.reason or (self.pool.overlaps and not programs):
                return

    def _tune(self, programs: Sequence[Program]) -> bool:
        """Whether all were tuned before somebody asked to stop."""
        if programs:
            self.progress.message(f"programs to tune and compile: {len(programs)}")
        for program in programs:
            if self.stop.reason:
                return False
            with self.watch("tune"):
                program.tune()
            tune_s = self.watch.take("tune")
            event = {"event": "tune", "program": program.plan.id, "seconds": tune_s}
            self.directory.record(event)
        return True

    def _compiled(self, program: Program) -> None:
        if program.error is None:
            self._announce(program, program.ready.compile_s)
        elif memory.is_exhausted(program.error) and program.shrink(self.pool.devices):
            self._say_shrunk(program)
        elif not self.pool.split(program):
            waiting = [w if isinstance(w, Trial) else w.trial for w in program.waiting]
            program.waiting.clear()
            self._fail(program, waiting)

    def _announce(self, program: Program, compile_s: float) -> None:
        about = {"compile_s": compile_s, "peak_bytes": program.ready.peak_bytes, **program.work()}
        plan = program.plan.to_json()
        known = self.directory.results.programs.get(program.plan.id)
        if known and known.plan["trials"] == list(plan["trials"]):
            del plan["trials"]  # thousands perhaps, at each start of a process
        self.directory.record({"event": "program", "plan": plan, **about})

    def _started(self, trial: Trial, program: Program) -> dict[str, Any]:
        layers = trial.layers(self.dataset.classes)
        parameters = architecture.parameters(layers, self.dataset.image_shape)
        about = {"program": program.plan.id, "parameters": parameters}
        return {"event": "trial", **trial.to_json(), **about}

    def _fail(self, program: Program, trials: Iterable[Trial]) -> None:
        """Records trials that cannot be trained here, and why."""
        for trial in trials:
            end = {"event": "end", "trial": trial.id, "status": "failed", "seconds": 0.0}
            error = " ".join(str(program.error).split())[:_ERROR_LENGTH]
            self.directory.record(self._started(trial, program), {**end, "error": error})
            self.sampler.tell(trial, {}, ended=True)
            self._work.did(trial, trial["epochs"])

    def train(self, program: Program) -> None:
        """One dispatch of one program, and what an epoch's end brings with it."""
        with self.profiler.dispatch(program.plan.id) as untimed:
            with self._on_device(program):
                event = program.train()
            self.directory.note({**event, "warmup": untimed})
            if program.between_epochs:
                self.evaluate(program)
        self.directory.record()
        busy = sum(len(p.seated) for p in self.pool)
        self.progress.refresh(self.directory.results, busy, self._work.done, self._work.planned)

    def evaluate(self, program: Program) -> None:
        """Measures every seat, records it, tells the sampler, frees the lanes of those that ended."""
        with self._on_device(program):
            rows, event = program.evaluate()
        events, ended = [event], []
        for seat, metrics in zip(program.seated, (finite(row) for row in rows), strict=True):
            last_loss = metrics.pop("last_loss")
            step = seat.epoch * len(seat.rates) // seat.trial["epochs"]
            about = {"trial": seat.trial.id, "epoch": seat.epoch, "step": step}
            events.append({"event": "epoch", **about, **metrics})
            status = self._status(seat, metrics)
            ended.append((seat, metrics, status))
            if status:
                events.append(_end(seat, status, last_loss))
            # A trial that diverged or reached its target has no more epochs to do.
            self._work.did(seat.trial, 1 + (seat.trial["epochs"] - seat.epoch if status else 0))
        with self._on_device(program):
            self.keeper.epoch_ended(program, ended)
        for seat, metrics, status in ended:
            self.sampler.tell(seat.trial, metrics, ended=bool(status))
            if status:
                program.leave(seat)
        self.directory.note(*events)

    def _status(self, seat: Seat, metrics: Mapping[str, Any]) -> str:
        """How a trial ended with this epoch, "" if it goes on."""
        if metrics["running_loss"] is None or metrics["train_loss"] is None:  # not finite
            return "diverged"
        accuracy = metrics[f"{self.directory.results.rank_by}_accuracy"]
        target = seat.trial.settings.get("target_accuracy", math.inf)
        reached = accuracy is not None and accuracy >= target
        return "completed" if reached or seat.epoch == seat.trial["epochs"] else ""

    def checkpoint(self) -> None:
        """Begins to write all that decides the future; training goes on meanwhile, or without it."""
        self.pace.begin()
        try:
            about, arrays = snapshot.take(self.pool, self.sampler)
            self.directory.save({**about, "elapsed_s": self.elapsed_s()}, arrays)
        except (JaxRuntimeError, MemoryError) as error:  # the host holds no copy of the states
            if not memory.is_exhausted(error):
                raise
            self.directory.checkpoints.failed(error)
        self.pace.held()

    def pause(self) -> None:
        """Ends in order with trials unfinished: they are recorded as paused, and go on from a checkpoint."""
        self.directory.checkpoints.wait()
        self.checkpoint()
        self.directory.checkpoints.wait()
        for program in self.pool:
            self.directory.record(*(_end(seat, "paused") for seat in program.seated))

    @contextmanager
    def _on_device(self, program: Program) -> Iterator[None]:
        """Tells a device without memory from other errors."""
        try:
            yield
        except (JaxRuntimeError, MemoryError) as error:
            if memory.is_exhausted(error):
                raise _ExhaustedError(program, error) from error
            raise

    def _retreat(self, exhausted: "_ExhaustedError") -> None:
        """After a device ran out of memory: back to the last checkpoint, with half the lanes there.

        The lanes' states may be gone with the dispatch that failed, for it was given their memory.
        """
        program = exhausted.program
        for compiled in self.pool.compiled(self.pool.compiling):  # else it would compile for nobody
            self._compiled(compiled)
        self.directory.checkpoints.wait()
        self.begin(self.directory.newest())
        if program.shrink(self.pool.devices):
            self._say_shrunk(program)
        else:
            program.error = exhausted.error
            self._compiled(program)

    def _say_shrunk(self, program: Program) -> None:
        self._write_plan()
        self.progress.message(
            f"out of memory: program {program.plan.id} goes on with {program.plan.lanes} lanes"
        )


class _ExhaustedError(Exception):
    """A device ran out of memory in a dispatch of a program."""

    def __init__(self, program: Program, error: Exception):
        super().__init__(str(error))
        self.program, self.error = program, error


def _end(seat: Seat, status: str, last_loss: float | None = None) -> dict[str, Any]:
    """The event with which a trial ends."""
    event = {"event": "end", "trial": seat.trial.id, "status": status, "seconds": seat.seconds}
    if status != "diverged":
        return event
    words = (
        "no loss was finite" if last_loss is None else f"the last finite loss was {last_loss:.4g}"
    )
    error = f"its loss was not finite in epoch {seat.epoch}; {words}"
    return {**event, "epoch": seat.epoch, "last_loss": last_loss, "error": error}
