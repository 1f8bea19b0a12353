"""From a program's plan to compiled lanes: lowerings chosen, memory heeded."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import fingerprint, memory
from bench import precision as precisions
from bench.data import Dataset
from bench.device_data import DeviceData
from bench.lanes import Lanes
from bench.mesh import BATCH_AXIS, lane_mesh
from bench.ops import lowerings
from bench.plan import ProgramPlan
from bench.program import Program
from bench.step import LaneProgram
from bench.trial import Trial
from bench.tune import Tuner
from bench.tuned import Memory

# Tuning a program may take this share of the seconds that its training is expected to, and no more than
# so many; below the least, the likely best lowerings are taken untimed.
SHARE, MOST_S, LEAST_S = 0.1, 5.0, 0.5


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
        programs: how many share the devices' memory.
        fixed: the lanes planned are what the user asked for.
        decided: lowerings of programs, by id, that an earlier process of this run has chosen.

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
        programs: int = 1,
        fixed: bool = False,
        decided: Mapping[str, Mapping[str, str]] | None = None,
    ):
        lowerings.check(lowering)
        self.data = DeviceData(dataset, lane_mesh(devices, batch_devices))
        self.precision, self.retune = precision, retune
        self.decided = {} if retune else decided or {}
        self.free_bytes = memory.free_bytes(devices[0], len(devices))
        times = Memory(cache_dir, fingerprint.chip(devices), fingerprint.compilers())
        computed, free = precisions.of(precision).computed, self.free_bytes
        self._tuner = Tuner(self.data.mesh, computed, times, lowering, retune, free)
        self._fitted = functools.partial(
            memory.fitted,
            make=lambda plan: Lanes(plan, self.data, precision),
            free=self.free_bytes,
            programs=programs,
            fixed=fixed,
        )

    def program(self, plan: ProgramPlan) -> Program:
        """A program yet to be tuned and compiled."""
        plan = replace(plan, lowerings=self.decided.get(plan.id, {}))
        return Program(plan, self.lanes, self.tuned)

    def lanes(self, plan: ProgramPlan, trial: Trial) -> Lanes:
        """Compiled lanes, as many as fit (`memory.fitted`)."""
        return self._fitted(plan, trial)

    def tuned(self, plan: ProgramPlan) -> ProgramPlan:
        """The plan with its lowerings chosen."""
        mesh = self.data.mesh
        dataset = self.data.dataset
        sites = LaneProgram(
            plan, dataset.image_shape, len(dataset.train), self.precision, mesh.shape[BATCH_AXIS]
        ).sites
        budget_s = MOST_S if self.retune else min(MOST_S, SHARE * plan.train_s)
        return self._tuner.tuned(plan, sites, budget_s if budget_s >= LEAST_S else 0.0)
