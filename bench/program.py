"""A program at work: which trial sits in which lane, and how far each has come.

All lanes of a program are at the same place inside their epochs (their batches have one size, and a lane
is filled only between epochs), each at an epoch of its own.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bench import draws, optim
from bench.lanes import Lanes
from bench.step import Epoch
from bench.trial import Trial


@dataclass
class Seat:
    """A trial in its lane.

    Attributes:
        lane: which.
        trial: who.
        rates: (all its updates,) learning rates.
        epoch: epochs it has finished.
        seconds: its share of its lane's dispatches so far.
    """

    lane: int
    trial: Trial
    rates: np.ndarray
    epoch: int = 0
    seconds: float = 0.0


class Program:
    """Seats trials in the lanes of one compiled program and keeps them moving.

    Args:
        lanes: compiled or yet to be.

    Attributes:
        waiting: trials of this program that have no lane yet.
        first: the next step inside the epoch, 0 between epochs.
    """

    def __init__(self, lanes: Lanes):
        self.lanes, self.plan = lanes, lanes.program
        self.waiting: deque[Trial] = deque()
        self.first = 0
        self._seats: list[Seat | None] = [None] * self.plan.lanes
        self._epoch: Epoch | None = None

    @property
    def seated(self) -> list[Seat]:
        """The trials at work, in the order of their lanes."""
        return [seat for seat in self._seats if seat is not None]

    @property
    def between_epochs(self) -> bool:
        return self.first == 0

    @property
    def has_room(self) -> bool:
        """A lane is free that no waiting trial will take."""
        return len(self.waiting) < self._seats.count(None)

    def fill(self) -> Iterator[Seat]:
        """Seats waiting trials in free lanes; to be called between epochs. Yields the new seats."""
        for lane, seat in enumerate(self._seats):
            if seat is None and self.waiting:
                trial = self.waiting.popleft()
                self.lanes.fill(lane, trial)
                rates = optim.learning_rates(trial, self.lanes.steps_per_epoch)
                self._seats[lane] = new = Seat(lane, trial, rates)
                yield new

    def leave(self, seat: Seat) -> None:
        """Frees a lane."""
        self._seats[seat.lane] = None

    def train(self) -> dict[str, Any]:
        """One dispatch of S steps, or those left of the epoch, in all seats; its journal event."""
        plan, total = self.plan, self.lanes.steps_per_epoch
        if self.between_epochs:
            self._epoch = self._begin_epoch()
        assert self._epoch is not None
        first, last = self.first, min(self.first + plan.steps, total)
        active = np.array([seat is not None for seat in self._seats])
        epoch = self._epoch._replace(rates=self._rates(first, last))
        seconds = self.lanes.train(active, epoch, first)
        self._share(seconds)
        self.first = last % total
        examples = self.lanes.lane.examples
        seen = min(last * plan.batch_size, examples) - first * plan.batch_size
        # Side by side, idle lanes and the steps beyond an epoch's end are computed too.
        computed = len(self.seated) * (last - first)
        if plan.strategy == "vmap":
            computed = plan.lanes * plan.steps
        return {
            "event": "train",
            "program": plan.id,
            "seconds": seconds,
            "steps": last - first,
            "lanes": len(self.seated),
            "examples": len(self.seated) * seen,
            "slots": computed * plan.batch_size,
        }

    def evaluate(self) -> tuple[list[dict[str, float]], dict[str, Any]]:
        """Ends an epoch: the metrics of each seat, in order, and the journal event of the dispatch."""
        metrics, seconds = self.lanes.evaluate()
        self._share(seconds)
        for seat in self.seated:
            seat.epoch += 1
        rows = [
            {name: column[s.lane].item() for name, column in metrics.items()} for s in self.seated
        ]
        return rows, {"event": "evaluate", "program": self.plan.id, "seconds": seconds}

    def _share(self, seconds: float) -> None:
        for seat in self.seated:
            seat.seconds += seconds / len(self.seated)

    def _begin_epoch(self) -> Epoch:
        """What the lanes need for the epoch that each is about to train, on the devices."""
        examples = self.lanes.lane.examples
        order = np.zeros((self.plan.lanes, examples), np.int32)
        dropout, augment = np.zeros((2, self.plan.lanes, 2), np.uint32)
        for seat in self.seated:
            trial, epoch = seat.trial, seat.epoch
            order[seat.lane] = draws.order(trial["data_seed"], epoch, examples)
            dropout[seat.lane] = draws.key(trial["seed"], draws.DROPOUT, epoch)
            augment[seat.lane] = draws.key(trial["seed"], draws.AUGMENT, epoch)
        on_devices = jax.device_put((order, dropout, augment), self.lanes.sharding)
        return Epoch(np.empty(0), *on_devices)

    def _rates(self, first: int, last: int) -> np.ndarray:
        """(K, S): the learning rates of these steps; zero in free lanes and beyond the epoch's end."""
        rates = np.zeros((self.plan.lanes, self.plan.steps))
        for seat in self.seated:
            start = seat.epoch * self.lanes.steps_per_epoch
            rates[seat.lane, : last - first] = seat.rates[start + first : start + last]
        return rates
