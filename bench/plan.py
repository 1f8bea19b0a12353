"""Which trials share a compiled program, and how it runs them. Pure arithmetic: no device is touched.

A program compiles the widest of its trials' architectures; widths, activations, the number of blocks,
dropout, augmentation, the optimizer and the batch size are then data to it (see `bench.padding`). What
stays static is the skeleton and, where there is batch norm, the batch size. How far trials are merged
within that is decided by cost (`bench.partition`, `bench.costs`).
"""

import functools
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from bench import padding
from bench.cells import Cell, cell, cells, fits
from bench.costs import Costs, Machine, Workload, default, sizes
from bench.costs import training_flops as training_flops
from bench.errors import ConfigError
from bench.estimate import (
    Estimate,
    Executable,
    Tally,
    evaluation_batch,
    tally,
    touched_an_epoch,
)
from bench.layers import Layers
from bench.partition import Part, Partition, compile_s
from bench.trial import Trial

DISPATCH_SECONDS = 2.0  # how long a run may be deaf to signals, limits and the live view


@dataclass(frozen=True)
class ProgramPlan:
    """One set of compiled executables, and the trials known to share it.

    Attributes:
        id: a hash of what is compiled.
        layers: the widest of its trials' architectures.
        padded: some trial is narrower or shallower than `layers`, so that lanes carry their own widths.
        microbatch: examples an iteration.
        batch_sizes: of its trials, ascending.
        augment: any trial flips, shifts or crops.
        optimizers: the families present, by name.
        trials: ids of the trials known so far.
        lanes: K, a multiple of the number of devices.
        steps: S, the iterations of one dispatch.
        strategy: "map" (lanes in turn on each device), "vmap" (side by side) or "vmap:N" (N side by side).
        evaluation_batch: examples in one forward pass of evaluation.
        parameters: of `layers`.
        flops_per_example: of a forward pass of `layers`.
        compile_s: expected seconds of compiling it.
        train_s: expected seconds of training and evaluating its known trials, all devices at work.
        waste: expected share of its training FLOPs that padding takes.
        lowerings: how each operation is computed, by the text of its site; chosen when it is compiled.
        thorough: compiled rather to run quickly than to be ready quickly; chosen with them.
    """

    id: str
    layers: Layers
    padded: bool
    microbatch: int
    batch_sizes: tuple[int, ...]
    augment: bool
    optimizers: tuple[str, ...]
    trials: tuple[str, ...]
    lanes: int
    steps: int
    strategy: str
    evaluation_batch: int
    parameters: int
    flops_per_example: int
    compile_s: float
    train_s: float
    waste: float
    lowerings: Mapping[str, str] = field(default_factory=dict, hash=False)
    thorough: bool = False

    @property
    def accumulates(self) -> bool:
        """Whether some trial's batch is several iterations."""
        return self.batch_sizes != (self.microbatch,)

    @property
    def beside(self) -> bool:
        """Whether lanes run side by side, so that idle ones cost as much as others."""
        return self.strategy != "map"

    def with_strategy(self, strategy: str) -> "ProgramPlan":
        """The same program with its lanes run otherwise."""
        batch = evaluation_batch(self.microbatch, strategy)
        return replace(self, strategy=strategy, evaluation_batch=batch, lowerings={})

    @property
    def executable(self) -> Executable:
        """What its costs depend on."""
        return Executable(
            self.layers, self.microbatch, self.optimizers, self.accumulates, self.augment
        )

    def runs(self, cell: Cell) -> bool:
        """Whether it has what the cell needs beside its layers."""
        whole, rest = divmod(cell.batch_size, self.microbatch)
        return (
            rest == 0
            and (whole == 1 or self.accumulates)
            and cell.family in self.optimizers
            and (self.augment or not cell.augment)
        )

    def to_json(self) -> dict[str, Any]:
        """All but the layers, which the trials' settings give."""
        fields = asdict(replace(self, layers=()))
        del fields["layers"]
        return fields


@dataclass(frozen=True)
class Plan:
    """The programs of a sweep, in the order of their first trial; those that only bounds ask for are last.

    Attributes:
        programs: the plan.
        workload: sizes of the data.
        machine, costs: where, and by which constants, seconds are expected.
    """

    programs: tuple[ProgramPlan, ...]
    workload: Workload
    machine: Machine
    costs: Costs

    @property
    def compile_s(self) -> float:
        """Expected seconds until all is compiled, `machine.compilers` programs at a time."""
        return compile_s([p.compile_s for p in self.programs], self.machine)

    @property
    def train_s(self) -> float:
        """Expected seconds of training and evaluating all known trials, the programs taking turns."""
        return sum(program.train_s for program in self.programs)

    @cached_property
    def _known(self) -> Mapping[str, ProgramPlan]:
        return by_trial(self.programs)

    def knows(self, trial: Trial) -> bool:
        """Whether a trial was planned for, so that it needs no search for a home."""
        return trial.id in self._known

    def extended(self, later: "Plan") -> "Plan":
        """With the programs of a later plan, which knows better of the trials that both know."""
        programs = {
            p.id: replace(p, trials=tuple(t for t in p.trials if t not in later._known))
            for p in self.programs
        }
        for program in later.programs:
            known = programs.get(program.id, replace(program, trials=()))
            programs[program.id] = replace(
                known,
                trials=known.trials + program.trials,
                batch_sizes=tuple(sorted({*known.batch_sizes, *program.batch_sizes})),
            )
        return replace(self, programs=tuple(programs.values()))

    def without(self, program: str) -> "Plan":
        """Without one of its programs."""
        return replace(self, programs=tuple(p for p in self.programs if p.id != program))

    def home(self, trial: Trial) -> ProgramPlan | None:
        """The program that trains `trial`: its own if it is known, else the cheapest that admits it."""
        if trial.id in self._known:
            return self._known[trial.id]
        own = cell(trial, self.workload.classes)
        # Neither its epochs nor its learning rate can make another program the cheapest.
        key = (own.layers, own.batch_size, own.family, own.augment)
        if key not in self._homes:
            self._homes[key] = self._cheapest(own)
        return self._homes[key]

    @cached_property
    def _homes(self) -> dict[Any, ProgramPlan | None]:
        return {}

    @cached_property
    def _estimates(self) -> dict[str, Estimate]:
        return {
            p.id: Estimate(p.executable, self.workload, self.machine, self.costs, p.strategy)
            for p in self.programs
        }

    def _cheapest(self, own: Cell) -> ProgramPlan | None:
        if not fits(own.layers, self.workload):
            return None
        outputs = sizes(own.layers, self.workload.image_shape).outputs
        work = Tally(1, 1, 1, touched_an_epoch(own, self.workload))

        def price(program: ProgramPlan) -> float:
            return self._estimates[program.id].run_s(work, program.lanes)

        def has_room(program: ProgramPlan) -> bool:
            """Soon told, and true wherever it admits the layers: they put out no more numbers than it."""
            more = self._estimates[program.id].size.outputs - outputs
            return more == 0 or (more > 0 and program.padded)

        found = [p for p in self.programs if p.runs(own) and has_room(p)]
        admitting = (p for p in sorted(found, key=price) if padding.admits(p.layers, own.layers))
        return next(admitting, None)


def plan(
    trials: Iterable[Trial],
    workload: Workload,
    machine: Machine,
    lanes: int = 0,
    strategy: str = "auto",
    mode: str = "cost",
    costs: Costs | None = None,
    bounds: Iterable[Trial] = (),
) -> Plan:
    """The programs for `trials`, in the order of their first trial.

    Args:
        trials: those known so far.
        workload: sizes of the data.
        machine: where it runs.
        lanes: K for every program; 0 takes as many as there are trials and memory.
        strategy: "map", "vmap", or "auto": map on a CPU, vmap elsewhere.
        mode: "cost" takes the least expected seconds; "separate" shares only between trials that differ in
            plain numbers, "fewest" wherever it can.
        costs: constants of the machine; None takes what is assumed of its platform.
        bounds: trials that span what may still be asked for. All between them will have a home, but in
            mode "separate".

    Raises:
        ShapeError: an architecture that the image does not fit through; names trial and layer.
        ConfigError: a batch larger than the data; too much dropout; an unknown strategy or mode.
    """
    if not re.fullmatch("auto|map|vmap(:[1-9][0-9]*)?", strategy):
        raise ConfigError(f"strategy={strategy!r} is not allowed: auto, map, vmap or vmap:N, N ≥ 1")
    _check("mode", mode, ("cost", "separate", "fewest"))
    if lanes < 0:
        raise ConfigError(
            f"lanes={lanes} is not allowed: give a number ≥ 1, or 0 for as many as fit"
        )
    if strategy == "auto":
        strategy = "map" if machine.platform == "cpu" else "vmap"
    costs, known = costs or default(machine.platform), tuple(trials)
    places = {trial.id: place for place, trial in enumerate(known)}
    estimate = functools.partial(
        Estimate, workload=workload, machine=machine, costs=costs, strategy=strategy
    )
    partition = Partition(workload, machine, lanes, estimate)
    parts = partition.parts(cells(known, bounds, workload), mode)
    programs = [_program(part, k, workload, places) for part, k in parts]

    def first(program: ProgramPlan) -> tuple[float, str]:
        return places[program.trials[0]] if program.trials else math.inf, program.id

    return Plan(tuple(sorted(programs, key=first)), workload, machine, costs)


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        words = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        raise ConfigError(f"{name}={value!r} is not allowed: {words}")


def _program(part: Part, lanes: int, workload: Workload, places: Mapping[str, int]) -> ProgramPlan:
    e, estimate, padded = part.estimate.executable, part.estimate, part.padded
    trials = sorted((t.id for cell in part.cells for t in cell.trials), key=places.__getitem__)
    content = (e.layers, padded, e.microbatch, e.accumulates, e.augment, e.optimizers)
    dispatch_s = max(estimate.dispatch_s(lanes), 1e-6)
    return ProgramPlan(
        id=hashlib.sha256(repr(content).encode()).hexdigest()[:8],
        layers=e.layers,
        padded=padded,
        microbatch=e.microbatch,
        batch_sizes=tuple(sorted({cell.batch_size for cell in part.cells})),
        augment=e.augment,
        optimizers=e.optimizers,
        trials=tuple(trials),
        lanes=lanes,
        steps=_dispatch_steps(estimate.iterations, dispatch_s),
        strategy=estimate.strategy,
        evaluation_batch=estimate.evaluation_batch,
        parameters=estimate.size.parameters,
        flops_per_example=estimate.size.flops,
        compile_s=estimate.compile_s,
        train_s=estimate.run_s(tally(part.cells, workload, bounds=False), lanes),
        waste=_waste(part, lanes, workload),
    )


def _waste(part: Part, lanes: int, workload: Workload) -> float:
    """Share of the training FLOPs that nobody asked for: padding, filled-up batches, idle lanes."""
    asked = sum(
        tally([cell], workload).epochs * sizes(cell.layers, workload.image_shape).flops
        for cell in part.cells
    )
    estimate = part.estimate
    computed = estimate.passes(part.work, lanes) * estimate.rows * estimate.size.flops
    return 1 - asked * workload.train_examples / computed if computed else 0.0


def _dispatch_steps(steps_per_epoch: int, step_s: float) -> int:
    """S: an epoch in equal dispatches of about `DISPATCH_SECONDS`, without a rest if that is near."""
    fewest = math.ceil(steps_per_epoch / max(1, DISPATCH_SECONDS // step_s))
    for dispatches in range(fewest, 2 * fewest):
        if steps_per_epoch % dispatches == 0:
            return steps_per_epoch // dispatches
    return math.ceil(steps_per_epoch / fewest)


def by_trial(programs: Iterable[ProgramPlan]) -> Mapping[str, ProgramPlan]:
    """Trial id → its program."""
    return {trial: program for program in programs for trial in program.trials}
