"""A program at work: which trial sits in which lane, and how far each has come.

All lanes of a program are at the same place inside their epochs: their batches are made of microbatches of
one size, and a lane is filled only between epochs. Each is at an epoch of its own.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from bench import draws, layers, optim, roofline, windows
from bench.data import Dataset
from bench.lanes import Lanes
from bench.parked import Parked
from bench.plan import ProgramPlan, training_flops
from bench.state import Epoch
from bench.trial import Trial


@dataclass(eq=False)
class Seat:
    """A trial at work.

    Attributes:
        trial: who.
        rates: (all its updates,) learning rates.
        flops_per_example: of a forward pass at its own widths.
        lane: where; -1 while it is parked.
        epoch: epochs it has finished.
        first: the next iteration inside its epoch, at which it was parked.
        seconds: its share of its lane's dispatches so far.
        parked: its state, while it has no lane.
    """

    trial: Trial
    rates: np.ndarray
    flops_per_example: int
    lane: int = -1
    epoch: int = 0
    first: int = 0
    seconds: float = 0.0
    parked: Parked | None = None


def seat_of(trial: Trial, dataset: Dataset) -> Seat:
    """A trial with what its epochs need, yet without a lane."""
    updates = -(-len(dataset.train) // trial["batch_size"])
    flops = layers.flops(trial.layers(dataset.classes), dataset.image_shape)
    return Seat(trial, optim.learning_rates(trial, updates), flops)


class Program:
    """Seats trials in the lanes of one compiled program and keeps them moving.

    Args:
        plan: what is compiled, for how many lanes.
        make: compiled lanes of a plan, perhaps fewer than it says (`memory.fitted`).
        tune: plan and a trial of its → the plan with its lowerings and strategy chosen.
        shrunk: is told of a plan whose lanes had to be halved.
        curve_every: steps of a window of `bench.windows`; 0 if its lanes do not tell of iterations.

    Attributes:
        waiting: trials of this program that have no lane yet, and parked ones that are to go on.
        error: why it cannot run, if it cannot.
        decided: its lanes, strategy and lowerings are chosen, now or by an earlier process of the run.
        first: the next iteration inside the epoch, 0 between epochs.
    """

    def __init__(
        self,
        plan: ProgramPlan,
        make: Callable[[ProgramPlan, Trial], Lanes],
        tune: Callable[[ProgramPlan, Trial], ProgramPlan] = lambda plan, _: plan,
        shrunk: Callable[[ProgramPlan], None] = lambda _: None,
        curve_every: int = 0,
    ):
        self.plan, self._make, self._tune, self._shrunk = plan, make, tune, shrunk
        self.curve_every = curve_every
        self.waiting: deque[Trial | Seat] = deque()
        self.first = 0
        self.error: Exception | None = None
        self.decided = False
        self.lanes: Lanes | None = None
        self._seats: list[Seat | None] = [None] * plan.lanes
        self._epoch: Epoch | None = None

    def tune(self) -> None:
        """Chooses how it computes, while nothing else runs on the devices; for the first trial that waits.

        Where that fails, `error` says so.
        """
        try:
            self.plan = self._tune(self.plan, self._first)
        except Exception as error:
            self.error = error

    def compile(self) -> None:
        """Compiles for the first trial that waits; where that fails, `error` says so."""
        try:
            lanes = self._make(self.plan, self._first)
        except Exception as error:  # whatever it is, the other programs are not to suffer
            self.error = error
            return
        self.lanes, self.plan, self.decided = lanes, lanes.program, True
        self._seats = [None] * self.plan.lanes

    @property
    def _first(self) -> Trial:
        first = self.waiting[0]
        return first.trial if isinstance(first, Seat) else first

    @property
    def ready(self) -> Lanes:
        """The compiled lanes."""
        assert self.lanes is not None, "compile() comes first"
        return self.lanes

    @property
    def seated(self) -> list[Seat]:
        """The trials in lanes, in the order of the lanes."""
        return [seat for seat in self._seats if seat is not None]

    @property
    def between_epochs(self) -> bool:
        return self.first == 0

    @property
    def epochs_begun(self) -> float:
        """What its seats have done of the epoch that they are in, in epochs of a trial."""
        if self.between_epochs:
            return 0.0
        return len(self.seated) * self.first / self.ready.lane.iterations_per_epoch

    @property
    def has_room(self) -> bool:
        """A lane is free that no waiting trial will take."""
        return self.error is None and len(self.waiting) < self._seats.count(None)

    def work(self) -> dict[str, float | None]:
        """Of one training iteration of one lane, for the journal: as it is planned, and as XLA counts it."""
        plan, mesh, beside = self.plan, self.ready.data.mesh, self.plan.beside
        one = roofline.work(
            plan.layers,
            self.ready.data.dataset.image_shape,
            plan.microbatch,
            plan.batch_sizes,
            plan.optimizers,
            plan.augment,
            beside,
        )
        planned = {"flops_per_iteration": one.flops, "bytes_per_iteration": one.bytes}
        if "native" in plan.lowerings.values():  # kernels that XLA does not see into
            return {**planned, "xla_flops": None, "xla_bytes": None}
        # Of what XLA counts, a device does one lane's in turn, or all its lanes' side by side, and of each
        # lane its share of the examples.
        here = plan.lanes // mesh.shape["lanes"] if beside else 1
        flops, size = (n and n * mesh.shape["batch"] / here for n in self.ready.counted)
        return {**planned, "xla_flops": flops, "xla_bytes": size}

    def fill(self) -> list[Seat]:
        """Seats whoever waits in free lanes; to be called between epochs. Returns the seats of new trials."""
        with self.ready.watch("input"):
            return self._fill()

    def _fill(self) -> list[Seat]:
        taken, self._epoch = self._coming(), None
        back = {lane: seat for lane, seat in taken.items() if isinstance(seat, Seat)}
        new = {lane: trial for lane, trial in taken.items() if isinstance(trial, Trial)}
        states = {lane: seat.parked for lane, seat in back.items() if seat.parked is not None}
        if not self.ready.is_open:
            self.ready.open(states)
        else:
            for lane, state in states.items():
                self.ready.restore(lane, state)
        self.ready.fill(list(new.items()))
        for lane, seat in back.items():
            seat.lane, seat.parked = lane, None
        begun = {lane: self._seat(lane, trial) for lane, trial in new.items()}
        for lane, seat in (back | begun).items():
            self._seats[lane] = seat
        return list(begun.values())

    def _coming(self) -> dict[int, Trial | Seat]:
        """Free lanes, and who of the waiting takes them.

        Who was parked inside an epoch ends it first, without the others: all lanes are at one place.
        """
        inside = [w.first for w in self.waiting if isinstance(w, Seat) and w.first]
        if inside and (seated := self.seated):
            self.park(seated)
            self.waiting.extend(seated)
        free = [lane for lane, seat in enumerate(self._seats) if seat is None]
        self.first = inside[0] if inside else 0
        ready = [w for w in self.waiting if (w.first if isinstance(w, Seat) else 0) == self.first]
        coming = ready[: len(free)]
        for each in coming:
            self.waiting.remove(each)
        return dict(zip(free, coming, strict=False))

    def _seat(self, lane: int, trial: Trial) -> Seat:
        seat = seat_of(trial, self.ready.data.dataset)
        seat.lane = lane
        return seat

    def park(self, seats: Sequence[Seat]) -> None:
        """Takes trials out of their lanes, inside an epoch too; from `waiting` they go on to the bit."""
        states = self.ready.park([seat.lane for seat in seats])
        for seat, state in zip(seats, states, strict=True):
            seat.parked, seat.first = state, self.first
            self.leave(seat)

    def leave(self, seat: Seat) -> None:
        """Frees a lane."""
        self._seats[seat.lane], seat.lane = None, -1

    def saved(self) -> tuple[dict[str, Any], list[Parked]]:
        """What decides its future beside its plan: as JSON, and the states of its seats in their order."""
        seated = self.seated
        states = self.ready.park([seat.lane for seat in seated]) if seated else []
        parked = [seat for seat in self.waiting if isinstance(seat, Seat)]
        places = [*((seat, self.first) for seat in seated), *((s, s.first) for s in parked)]
        seats = [
            {"trial": s.trial.id, "epoch": s.epoch, "first": first, "seconds": s.seconds}
            for s, first in places
        ]
        waiting = [trial.to_json() for trial in self.waiting if isinstance(trial, Trial)]
        states += [seat.parked for seat in parked if seat.parked is not None]
        return {"seats": seats, "waiting": waiting}, states

    def clear(self) -> None:
        """Forgets who is seated and who waits, and gives the devices' memory back."""
        self._seats, self.first, self._epoch = [None] * self.plan.lanes, 0, None
        self.waiting.clear()
        if self.lanes is not None:
            self.lanes.close()

    def shrink(self, devices: int) -> bool:
        """Halves the lanes, to be compiled anew; False where there is but one on each of the devices."""
        assert not self.seated, "clear() comes first"
        lanes = self.plan.lanes // 2 // devices * devices
        if not lanes:
            return False
        self.plan, self.lanes, self.error = replace(self.plan, lanes=lanes), None, None
        self._seats = [None] * lanes
        self._shrunk(self.plan)
        return True

    def close(self) -> None:
        """Gives the devices' memory back; nobody is seated."""
        self.ready.close()

    def train(self) -> dict[str, Any]:
        """One dispatch of S iterations, or those left of the epoch, in all seats; its journal event.

        Its `seconds` are the dispatch's alone; `input_s` is what the host has done since the last one to
        give the lanes what they train on: initial parameters, orders, keys, rates, and bringing them there.
        With `curve_every`, `losses` are trial → its `windows.parts`.
        """
        plan, total = self.plan, self.ready.lane.iterations_per_epoch
        first, last = self.first, min(self.first + plan.steps, total)
        active = np.array([seat is not None for seat in self._seats])
        with self.ready.watch("input"):
            self._epoch = self._epoch or self._begin_epoch()
            epoch = self._epoch._replace(rates=self._rates(first, last))
        seconds, sums = self.ready.train(active, epoch, first)
        self._share(seconds)
        told = {} if sums is None else {"losses": self._losses(np.asarray(sums), first, last)}
        self.first = last % total
        if self.between_epochs:
            self._epoch = None
        seen = min(last * plan.microbatch, self.ready.lane.examples) - first * plan.microbatch
        # Side by side, idle lanes and the iterations beyond an epoch's end are computed too.
        computed = len(self.seated) * (last - first)
        if plan.beside:
            computed = plan.lanes * plan.steps
        real = sum(seat.flops_per_example for seat in self.seated)
        return {
            "event": "train",
            "program": plan.id,
            "seconds": seconds,
            "input_s": self.ready.watch.take("input"),
            "iterations": last - first,
            "lanes": len(self.seated),
            "examples": len(self.seated) * seen,
            "flops": training_flops(real) * seen,
            "slot_flops": training_flops(plan.flops_per_example) * computed * plan.microbatch,
            **told,
        }

    def _losses(self, sums: np.ndarray, first: int, last: int) -> dict[str, list[list[float]]]:
        return {
            seat.trial.id: windows.parts(
                sums[seat.lane, : last - first], self._steps(seat, first, last), self.curve_every
            )
            for seat in self.seated
        }

    def evaluate(self) -> tuple[list[dict[str, float]], dict[str, Any]]:
        """Ends an epoch: the metrics of each seat, in order, and the journal event of the dispatch."""
        metrics, seconds = self.ready.evaluate()
        self._share(seconds)
        for seat in self.seated:
            seat.epoch += 1
        columns = {name: column.tolist() for name, column in metrics.items()}
        rows = [{name: column[s.lane] for name, column in columns.items()} for s in self.seated]
        return rows, {"event": "evaluate", "program": self.plan.id, "seconds": seconds}

    def _share(self, seconds: float) -> None:
        seated = self.seated
        for seat in seated:
            seat.seconds += seconds / len(seated)

    def _begin_epoch(self) -> Epoch:
        """What the lanes need for the epoch that each is about to train, on the devices."""
        examples = self.ready.lane.examples
        order = np.zeros((self.plan.lanes, examples), np.int32)
        dropout, augment = np.zeros((2, self.plan.lanes, 2), np.uint32)
        for seat in self.seated:
            trial, epoch = seat.trial, seat.epoch
            order[seat.lane] = draws.order(trial["data_seed"], epoch, examples)
            dropout[seat.lane] = draws.key(trial["seed"], draws.DROPOUT, epoch)
            augment[seat.lane] = draws.key(trial["seed"], draws.AUGMENT, epoch)
        on_devices = jax.device_put((order, dropout, augment), self.ready.sharding)
        return Epoch(np.empty(0), *on_devices)

    def _rates(self, first: int, last: int) -> np.ndarray:
        """(K, S): the learning rates of these iterations; zero in free lanes and beyond the epoch's end."""
        rates = np.zeros((self.plan.lanes, self.plan.steps))
        for seat in self.seated:
            rates[seat.lane, : last - first] = seat.rates[self._steps(seat, first, last)]
        return rates

    def _steps(self, seat: Seat, first: int, last: int) -> np.ndarray:
        """To which step of a trial, counted from 0 over all its epochs, each of these iterations belongs."""
        batch = seat.trial["batch_size"]
        updates = -(-self.ready.lane.examples // batch)
        return seat.epoch * updates + np.arange(first, last) // (batch // self.plan.microbatch)
