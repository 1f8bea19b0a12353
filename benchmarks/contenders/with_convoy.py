"""Convoy itself, steady; its sweeps run as users run them, by `python -m bench.main`."""

import time
from collections.abc import Sequence

from bench import fingerprint
from bench.costs import Workload
from bench.devices import prepare
from bench.factory import Factory
from bench.plan import plan
from bench.trial import Trial
from benchmarks.contenders.contender import Contender, Data


class Convoy(Contender):
    """T trials in as many lanes of one program."""

    def __init__(self, trials: Sequence[Trial], data: Data):
        super().__init__(trials, data)
        devices, dataset = prepare(0, 1, "float32", None), data.dataset
        sizes = Workload(data.shape, data.classes, len(dataset.train), dataset.evaluated)
        self.about = {"hardware": fingerprint.hardware(devices)}
        machine = fingerprint.machine(devices)
        (decided,) = plan(trials, sizes, machine, len(trials), mode="fewest").programs
        # As before a long sweep: lowerings are timed, whatever a memory says.
        factory = Factory(dataset, devices, retune=True, fixed=True)
        self.program = factory.program(decided)
        self.program.waiting.extend(trials)
        self.program.tune()
        self.program.compile()
        self.program.fill()
        self.about["lowerings"] = dict(self.program.plan.lowerings)

    def epoch(self) -> float:
        start = time.perf_counter()
        self.program.train()
        while not self.program.between_epochs:
            self.program.train()
        for seat in self.program.seated:
            seat.epoch += 1
        return time.perf_counter() - start

    def evaluate(self) -> list[dict[str, float]]:
        columns, _ = self.program.ready.evaluate()
        names = ("valid_accuracy", "test_accuracy", "test_loss")
        lanes = (seat.lane for seat in self.program.seated)
        return [{name: float(columns[name][lane]) for name in names} for lane in lanes]

    @property
    def parameters(self) -> int:
        return self.program.ready.lane.packing.size


CONTENDER = Convoy
