"""Trials that differ in plain numbers alone, as one *cell*: what planning puts together in programs."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from bench import layers as arch
from bench import padding, summary
from bench.costs import Workload
from bench.errors import ConfigError, ShapeError
from bench.layers import BatchNorm, Dropout, Layer, Layers, Residual, Shape, flat
from bench.trial import Trial

MOST_DROPOUTS = 2 ** (32 - padding.DRAW_BITS)


@dataclass(eq=False)
class Cell:
    """Trials that differ in plain numbers alone.

    Attributes:
        layers: theirs, with dropout rates of `padding.SOME` wherever any of them drops and 0 elsewhere.
        batch_size, family, augment: theirs.
        trials: those known, in their order.
        bounds: of trials that may still be asked for, one each.
    """

    layers: Layers
    batch_size: int
    family: str
    augment: bool
    trials: list[Trial] = field(default_factory=list)
    bounds: list[Trial] = field(default_factory=list)


def cells(trials: Iterable[Trial], bounds: Iterable[Trial], workload: Workload) -> list[Cell]:
    """All trials in their cells, in an order that does not depend on theirs.

    Raises:
        ShapeError: an architecture that the image does not fit through; names trial and layer.
        ConfigError: a batch larger than the data; too much dropout.
    """
    found: dict[Any, Cell] = {}

    def place(trial: Trial) -> Cell:
        """The cell that a trial belongs to, made if it is the first there, wide enough for it."""
        own = cell(trial, workload.classes)
        bare = without_rates(own.layers)
        key = (bare, own.batch_size, own.family, own.augment)
        if key not in found and not fits(bare, workload):
            summary.check(bare, workload.image_shape, workload.classes, trial.id)
        _check(trial, own.layers, workload)
        there = found.setdefault(key, own)
        if there.layers == bare:
            there.layers = own.layers
        elif own.layers != bare:
            there.layers = widest((there.layers, own.layers))
        return there

    known = set()
    for trial in trials:
        place(trial).trials.append(trial)
        known.add(trial.id)
    for trial in bounds:
        if trial.id not in known:
            place(trial).bounds.append(trial)
    order = {c: (repr(c.layers), c.batch_size, c.family, c.augment) for c in found.values()}
    return sorted(order, key=order.__getitem__)


def cell(trial: Trial, classes: int) -> Cell:
    """A trial's cell, without the trial; nothing is checked."""
    layers = without_rates(trial.layers(classes), padding.SOME)
    return Cell(layers, trial["batch_size"], trial["optimizer"], augments(trial))


@lru_cache(maxsize=16_384)
def without_rates(layers: Layers, rate: float = 0.0) -> Layers:
    """The layers with the rate of every `Dropout` 0, or `rate` where it was not 0."""

    def changed(layer: Layer) -> Layer:
        return Dropout(rate if layer.rate else 0.0) if isinstance(layer, Dropout) else layer

    return padding.mapped(layers, changed)


def widest(architectures: Iterable[Layers]) -> Layers:
    """`padding.widest`, at once where all are the same."""
    every = tuple(dict.fromkeys(architectures))
    return every[0] if len(every) == 1 else _widest(every)


_widest = lru_cache(maxsize=16_384)(padding.widest)


def augments(trial: Trial) -> bool:
    """Whether the trial's images are flipped, shifted or cropped."""
    return bool(trial["flip"] or trial["shift"] or trial["crop"])


def has_batch_norm(layers: Layers) -> bool:
    """Whether a batch's examples are seen together anywhere."""
    return any(
        isinstance(layer, BatchNorm) or any(map(has_batch_norm, layer.parts()))
        for layer in flat(layers)
    )


def groups(every: Sequence[Cell], alone: Callable[[Cell], bool]) -> list[list[Cell]]:
    """Cells that could share a program: of one skeleton and, with batch norm, of one batch size.

    Args:
        every: the cells.
        alone: those that are to have a program for themselves.
    """
    structures: dict[Any, tuple[Layers, bool]] = {}
    found: dict[Any, list[Cell]] = {}
    for each in every:
        drawn = outline(each.layers)
        if drawn not in structures:
            structures[drawn] = padding.skeleton(each.layers), has_batch_norm(each.layers)
        skeleton, norm = structures[drawn]
        key = (skeleton, each.batch_size if norm else 0, each if alone(each) else None)
        found.setdefault(key, []).append(each)
    return list(found.values())


def outline(layers: Any) -> Any:
    """The layers but for widths, names and rates; equal only where skeletons and numbers of blocks are."""
    if isinstance(layers, tuple):
        return tuple(map(outline, layers))
    if isinstance(layers, Residual) or not isinstance(layers, Layer):
        return layers  # a sum can make widths structure
    data = padding.OPEN[type(layers)][0] if type(layers) in padding.OPEN else ""
    return type(layers), *(outline(v) for name, v in vars(layers).items() if name != data)


def fits(layers: Layers, workload: Workload) -> bool:
    """What `summary.check` finds out, sooner."""
    try:
        return arch.output_shape(layers, workload.image_shape) == (workload.classes,)
    except ShapeError:
        return False


def _check(trial: Trial, layers: Layers, workload: Workload) -> None:
    batch, examples = trial["batch_size"], workload.train_examples
    if batch > examples:
        raise ConfigError(
            f"trial {trial.id}: batch_size={batch} is larger than the "
            f"{examples} training examples; use a smaller batch"
        )
    dropouts, numbers = _draws(layers, workload.image_shape)
    if dropouts > MOST_DROPOUTS:
        raise ConfigError(
            f"trial {trial.id}: more than {MOST_DROPOUTS} dropout layers; leave some out"
        )
    if numbers * batch > 2**padding.DRAW_BITS:
        raise ConfigError(
            f"trial {trial.id}: dropout of {numbers * batch:,} numbers a batch; "
            "use a smaller batch or image"
        )


@lru_cache(maxsize=16_384)
def _draws(layers: Layers, shape: Shape) -> tuple[int, int]:
    """How many dropouts there are up to the last that drops, and the most numbers that one of them sees."""

    def dropouts(layers: Layers, shape: Shape) -> Iterator[int]:
        for layer, before in arch.inputs(flat(layers), shape):
            if isinstance(layer, Dropout):
                yield math.prod(before) if layer.rate else 0
            for part in layer.parts():
                yield from dropouts(part, before)

    seen = list(dropouts(layers, shape))
    return max((n for n, numbers in enumerate(seen, 1) if numbers), default=0), max(seen, default=0)
