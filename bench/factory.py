"""From a program's plan to compiled lanes: lowerings chosen, memory heeded."""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import fingerprint, memory
from bench import precision as precisions
from bench.blueprint import decisions
from bench.data import Dataset
from bench.device_data import DeviceData
from bench.lanes import Lanes
from bench.mesh import BATCH_AXIS, lane_mesh
from bench.ops import lowerings
from bench.plan import ProgramPlan
from bench.probe import program_of
from bench.program import Program
from bench.step import LaneProgram
from bench.trial import Trial
from bench.tune import Tuner
from bench.tuned import Memory

# Tuning a program's lowerings may take this share of the seconds that its training is expected to, and no
# more than so many; below the least, the likely best are taken untimed.
SHARE, MOST_S, LEAST_S = 0.05, 5.0, 0.5
# A strategy is compiled to be timed: worth it from so many seconds of training on.
STRATEGY_FROM_S = 120.0
# XLA's better code (`mesh.compiled`) takes a little longer to compile, and saves up to 8 % of training.
THOROUGH_FROM_S = 20.0
STRATEGIES = {
    "cpu": ("map", "vmap"),
    "gpu": ("vmap", "vmap:8", "map"),
    "tpu": ("vmap", "vmap:8", "map"),
}
# Of a dispatch's iterations; dispatches after one to warm up, if seconds allow, at least one.
TIMED_SHARE, TIMED_ROUNDS, TIMED_S = 0.1, 3, 5.0


class Factory:
    """Makes programs for one data set on some devices.

    Args:
        dataset: what they train on.
        devices: to run on, of which `batch_devices` share the examples of a lane.
        batch_devices: see `mesh.lane_mesh`.
        precision: of the arithmetic.
        lowering: "auto", or a set of lowerings (`lowerings.SETS`) to be taken as it is.
        retune: lowerings are timed even where times are remembered.
        cache_dir: where times are remembered; None for this process only.
        fixed: the lanes planned are what the user asked for.
        decided: of programs, by id, what an earlier process of this run has chosen (`blueprint.DECIDED`).
        strategy: "auto", or one that the plans have because the user asked for it.
        curve_every: see `Program`.

    Raises:
        ConfigError: a set of lowerings that is unknown or cannot be had here.
    """

    def __init__(
        self,
        dataset: Dataset,
        devices: Sequence[Any],
        batch_devices: int = 1,
        precision: str = "float32",
        lowering: str = "auto",
        retune: bool = False,
        cache_dir: Path | None = None,
        fixed: bool = False,
        decided: Mapping[str, Mapping[str, Any]] | None = None,
        strategy: str = "auto",
        curve_every: int = 0,
    ):
        lowerings.check(lowering)
        self.data = DeviceData(dataset, lane_mesh(devices, batch_devices))
        self.precision, self.retune, self.strategy = precision, retune, strategy
        self.decided, self.fixed, self.curve_every = dict(decided or {}), fixed, curve_every
        self.free_bytes = memory.free_bytes(devices[0], len(devices))
        self._memory = Memory(cache_dir, fingerprint.chip(devices), fingerprint.compilers())
        computed, free = precisions.of(precision).computed, self.free_bytes
        self._tuner = Tuner(self.data.mesh, computed, self._memory, lowering, retune, free)
        self._fitted = functools.partial(memory.fitted, make=self._new_lanes, free=free)

    def program(self, plan: ProgramPlan) -> Program:
        """A program yet to be tuned and compiled."""
        if plan.id in self.decided:
            plan = replace(plan, **self.decided[plan.id])
        elif not self.fixed and (most := self._most_lanes(plan)):
            plan = replace(plan, lanes=min(plan.lanes, most))
        program = Program(plan, self.lanes, self.tuned, self.remember, self.curve_every)
        program.decided = plan.id in self.decided
        return program

    def lanes(self, plan: ProgramPlan, trial: Trial) -> Lanes:
        """Compiled lanes: those of the run's own plan, or as many as fit (`memory.fitted`)."""
        if plan.id not in self.decided:
            return self._fitted(plan, trial, fixed=self.fixed or bool(self._most_lanes(plan)))
        lanes = self._new_lanes(plan)
        lanes.compile(trial)
        return lanes

    def _new_lanes(self, plan: ProgramPlan) -> Lanes:
        return Lanes(plan, self.data, self.precision, curve=bool(self.curve_every))

    def remember(self, plan: ProgramPlan) -> None:
        """That more lanes than the plan's were too many for the memory: other runs begin with these."""
        self.decided[plan.id] = decisions(plan)
        self._memory.keep(self._lanes_key(plan), {"lanes": float(plan.lanes)})

    def _most_lanes(self, plan: ProgramPlan) -> int:
        """As many as another run had to make do with; 0 where none had to."""
        return int(self._memory.numbers(self._lanes_key(plan)).get("lanes", 0))

    def _lanes_key(self, plan: ProgramPlan) -> str:
        return f"lanes of {plan.id}, {plan.strategy}, {self.precision}"

    def tuned(self, plan: ProgramPlan, trial: Trial) -> ProgramPlan:
        """The plan with its lowerings chosen, and its strategy where that is left to us and worth it.

        Args:
            plan: of a program.
            trial: one of its.
        """
        if plan.id not in self.decided:
            plan = replace(plan, thorough=plan.train_s >= THOROUGH_FROM_S)
        likely = self._lowered(plan)
        if self.strategy != "auto" or plan.id in self.decided:
            return likely
        key = f"strategies of {plan.id}, {plan.lanes} lanes, {self.precision}"
        times = {} if self.retune else self._memory.numbers(key)
        if not times and (self.retune or plan.train_s >= STRATEGY_FROM_S):
            platform = self.data.mesh.devices.flat[0].platform
            for strategy in STRATEGIES.get(platform, (plan.strategy,)):
                seconds = self._seconds(self._lowered(plan.with_strategy(strategy)), trial)
                times |= {strategy: seconds} if seconds else {}
            self._memory.keep(key, times)
        best = min(times, key=times.__getitem__) if times else plan.strategy
        return likely if best == plan.strategy else self._lowered(plan.with_strategy(best))

    def _lowered(self, plan: ProgramPlan) -> ProgramPlan:
        dataset, shares = self.data.dataset, self.data.mesh.shape[BATCH_AXIS]
        program = LaneProgram(plan, dataset.image_shape, len(dataset.train), self.precision, shares)
        budget_s = MOST_S if self.retune else min(MOST_S, SHARE * plan.train_s)
        return self._tuner.tuned(plan, program.sites, budget_s if budget_s >= LEAST_S else 0.0)

    def _seconds(self, plan: ProgramPlan, trial: Trial) -> float | None:
        """Of one iteration of all lanes, the best of a few dispatches; None if memory does not hold it."""
        short = replace(plan, steps=max(1, round(TIMED_SHARE * plan.steps)))
        program = program_of(short, trial, self.data, self.precision, self.free_bytes)
        program.compile()
        if program.error:
            return None
        program.fill()
        taken, end = [program.train()], time.perf_counter() + TIMED_S
        while len(taken) == 1 or (len(taken) <= TIMED_ROUNDS and time.perf_counter() < end):
            taken.append(program.train())
        program.close()
        return min(event["seconds"] / event["iterations"] for event in taken[1:])
