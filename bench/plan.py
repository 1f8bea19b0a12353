"""Which trials share a compiled program, and how it runs them. Pure arithmetic: no device is touched.

Trials share a program when their architectures have one skeleton and their batches one size; all else
is data (see `layers.skeleton`).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench import layers as arch
from bench import summary
from bench.errors import ConfigError
from bench.layers import Layers, Shape
from bench.trial import Trial

DISPATCH_SECONDS = 2.0  # how long a run may be deaf to signals, limits and the live view
MOST_LANES = 512
# Assumed, not measured: what small CNNs reach, per device, and the memory a program may fill.
FLOPS_PER_S = {"cpu": 4e9, "gpu": 2e12, "tpu": 2e12}
MEMORY_SHARE = 0.5
# Activations are kept for the backward pass, and 3×3 convolutions unfold theirs ninefold.
COPIES_OF_ACTIVATIONS = 12
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Workload:
    """What every trial of a sweep trains on: sizes only."""

    image_shape: Shape
    classes: int
    train_examples: int


@dataclass(frozen=True)
class Machine:
    """Where the programs run: `platform` is JAX's name, `memory_bytes` is per device."""

    platform: str
    devices: int
    memory_bytes: int


@dataclass(frozen=True)
class ProgramPlan:
    """One compiled executable, and the trials known to share it.

    Attributes:
        id: a hash of what is compiled.
        layers: the skeleton of its trials' architectures.
        batch_size: examples an update.
        augment: images are flipped, shifted or cropped.
        dropout: the places in `layers.values` at which a trial drops anything.
        optimizers: the families present, by name.
        trials: ids of the trials known so far.
        lanes: K, a multiple of the number of devices.
        steps: S, the steps of one dispatch.
        strategy: "map" (lanes in turn on each device) or "vmap" (side by side).
        evaluation_batch: examples in one forward pass of evaluation.
        parameters: of one trial.
        flops_per_example: of one trial's forward pass.
    """

    id: str
    layers: Layers
    batch_size: int
    augment: bool
    dropout: tuple[int, ...]
    optimizers: tuple[str, ...]
    trials: tuple[str, ...]
    lanes: int
    steps: int
    strategy: str
    evaluation_batch: int
    parameters: int
    flops_per_example: int

    def to_json(self) -> dict[str, Any]:
        """All but the layers, which the trials' settings give."""
        fields = asdict(replace(self, layers=()))
        del fields["layers"]
        return fields


@dataclass(frozen=True)
class Structure:
    """What is compiled into a program: trials of one structure can share it."""

    layers: Layers
    batch_size: int
    augment: bool

    @property
    def id(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


def structure(trial: Trial, classes: int) -> Structure:
    """The part of a trial that is not data to its program."""
    augment = bool(trial["flip"] or trial["shift"] or trial["crop"])
    return Structure(arch.skeleton(trial.layers(classes)), trial["batch_size"], augment)


def plan(
    trials: Iterable[Trial],
    workload: Workload,
    machine: Machine,
    lanes: int = 0,
    strategy: str = "auto",
) -> tuple[ProgramPlan, ...]:
    """The programs for `trials`, in the order of their first trial.

    Args:
        trials: those known so far.
        workload: sizes of the data.
        machine: where it runs.
        lanes: K for every program; 0 takes as many as there are trials and memory.
        strategy: "map", "vmap", or "auto": map on a CPU, vmap elsewhere.

    Raises:
        ShapeError: an architecture that the image does not fit through; names trial and layer.
        ConfigError: a batch larger than the data; an unknown strategy.
    """
    if strategy not in ("auto", "map", "vmap"):
        raise ConfigError(f"strategy={strategy!r} is not allowed: auto, map or vmap")
    if lanes < 0:
        raise ConfigError(
            f"lanes={lanes} is not allowed: give a number ≥ 1, or 0 for as many as fit"
        )
    if strategy == "auto":
        strategy = "map" if machine.platform == "cpu" else "vmap"
    groups: dict[Structure, list[Trial]] = {}
    for trial in trials:
        if trial["batch_size"] > workload.train_examples:
            raise ConfigError(
                f"trial {trial.id}: batch_size={trial['batch_size']} is larger than the "
                f"{workload.train_examples} training examples; use a smaller batch"
            )
        key = structure(trial, workload.classes)
        if key not in groups:
            summary.check(
                trial.layers(workload.classes), workload.image_shape, workload.classes, trial.id
            )
        groups.setdefault(key, []).append(trial)
    return tuple(
        _program(key, members, workload, machine, lanes, strategy)
        for key, members in groups.items()
    )


def _program(
    key: Structure,
    trials: list[Trial],
    workload: Workload,
    machine: Machine,
    lanes: int,
    strategy: str,
) -> ProgramPlan:
    families = tuple(sorted({trial["optimizer"] for trial in trials}))
    open_values = zip(*(arch.values(t.layers(workload.classes)) for t in trials), strict=True)
    dropout = tuple(place for place, rates in enumerate(open_values) if any(rates))
    flops = arch.flops(key.layers, workload.image_shape)
    if not lanes:
        fit = _lanes_that_fit(key, families, workload, machine, strategy)
        lanes = min(len(trials), MOST_LANES, fit)
    lanes = math.ceil(lanes / machine.devices) * machine.devices
    rate = FLOPS_PER_S.get(machine.platform, FLOPS_PER_S["gpu"]) * machine.devices
    step_s = max(training_flops(flops) * key.batch_size * lanes / rate, 1e-6)
    return ProgramPlan(
        id=key.id,
        layers=key.layers,
        batch_size=key.batch_size,
        augment=key.augment,
        dropout=dropout,
        optimizers=families,
        trials=tuple(trial.id for trial in trials),
        lanes=lanes,
        steps=_dispatch_steps(math.ceil(workload.train_examples / key.batch_size), step_s),
        strategy=strategy,
        evaluation_batch=EVALUATION_BATCH if strategy == "map" else key.batch_size,
        parameters=arch.parameters(key.layers, workload.image_shape),
        flops_per_example=flops,
    )


def training_flops(forward_flops: int) -> int:
    """FLOPs of a training step from those of its forward pass: the backward pass takes twice as many."""
    return 3 * forward_flops


def _lanes_that_fit(
    key: Structure, families: tuple[str, ...], workload: Workload, machine: Machine, strategy: str
) -> int:
    """How many lanes the devices hold: states beside each other, activations of those that run at once."""
    parameters = arch.parameters(key.layers, workload.image_shape)
    state = 4 * parameters * (2 + 2 * len(families)) + 4 * workload.train_examples
    rows = summary.summary(key.layers, workload.image_shape)
    outputs = sum(math.prod(row.shape) for row in rows) + math.prod(workload.image_shape)
    active = 4 * outputs * key.batch_size * COPIES_OF_ACTIVATIONS + 4 * parameters
    memory = MEMORY_SHARE * machine.memory_bytes
    if strategy == "map":
        return max(1, int((memory - active) / state)) * machine.devices
    return max(1, int(memory / (state + active))) * machine.devices


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
