"""Convoy itself, steady; its sweeps run as users run them, by `python -m bench.main`."""

import time
from collections.abc import Sequence

from bench import timing
from bench.costs import Workload
from bench.device_data import DeviceData
from bench.devices import prepare
from bench.lanes import Lanes
from bench.mesh import lane_mesh
from bench.plan import ProgramPlan, plan
from bench.program import Program
from bench.trial import Trial
from benchmarks.contenders.contender import Contender, Data


class Convoy(Contender):
    """T trials in as many lanes of one program."""

    def __init__(self, trials: Sequence[Trial], data: Data):
        super().__init__(trials, data)
        devices, dataset = prepare(0, 1, "float32", None), data.dataset
        on_devices = DeviceData(dataset, lane_mesh(devices))
        sizes = Workload(data.shape, data.classes, len(dataset.train), dataset.evaluated)
        self.about = {"hardware": timing.hardware(devices)}
        machine = timing.machine(devices)
        (decided,) = plan(trials, sizes, machine, len(trials), mode="fewest").programs

        def compiled(plan: ProgramPlan, trial: Trial) -> Lanes:
            lanes = Lanes(plan, on_devices)
            lanes.compile(trial)
            return lanes

        self.program = Program(decided, compiled)
        self.program.waiting.extend(trials)
        self.program.compile()
        self.program.fill()

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
