"""Architectures of different sizes as one: what they pad to, and where a trial's numbers lie in it.

    wide = widest([trial.layers(classes) for trial in trials])    # what a program compiles
    fit(trial.layers(classes), wide, image_shape)                 # one trial's place in it

Padded parameters are zero and stay zero: nothing flows out of a padded channel, so nothing flows back
into it, and every update of a zero with a zero gradient is zero. That needs padded channels to *be* zero,
which layers that map 0 to something else, or mix channels, ensure with the channels' ranks.

Letters: an image has C channels; C' ≥ C are those of the program. P' and Q' are how many parameters and
statistics the program has for a lane, P and Q how many of them are the trial's.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.layers import (
    Activation,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    Layers,
    Residual,
    Shape,
    flat,
    inputs,
    parameters,
)

DRAW_BITS = 26  # each dropout draws at most 2²⁶ numbers an update: 32 bits count 64 such dropouts
MOVES_ZERO = ("sigmoid", "softplus")  # activations with f(0) ≠ 0
SOME = 0.5  # the rate of a program's Dropout where any trial drops anything


def _names(one: Any, other: Any) -> Any:
    every = sorted({*Activation(one).names, *Activation(other).names})
    return every[0] if len(every) == 1 else tuple(every)


# What a program takes as data instead of structure: class → field, its value in the skeleton, and how two
# trials' values become one program's. `Blocks` are the other case, below. This table is the place to extend.
_Join = Callable[[Any, Any], Any]
OPEN: dict[type[Layer], tuple[str, Any, _Join]] = {
    Conv: ("features", 1, max),
    Dense: ("units", 1, max),
    Activation: ("name", "identity", _names),
    Dropout: ("rate", 0.0, lambda one, other: SOME if one or other else 0.0),
}


def skeleton(layers: Layers) -> Layers:
    """The structure alone; architectures with equal skeletons can share one program."""
    if _rigid(layers):
        return mapped(layers, lambda layer: Dropout(0.0) if isinstance(layer, Dropout) else layer)

    def bare(layer: Layer) -> Layer:
        if type(layer) in OPEN:
            name, neutral, _ = OPEN[type(layer)]
            return replace(layer, **{name: neutral})
        if isinstance(layer, Blocks) and len(set(layer.blocks)) == 1 and _passable(layer.blocks[0]):
            return Blocks(layer.blocks[:1])
        return layer

    return mapped(layers, bare)


def _passable(block: Layers) -> bool:
    """Whether a lane may pass a block by: what comes in lies where what goes out would lie."""
    kinds = (Dense, Activation, Dropout, BatchNorm, LayerNorm)
    return isinstance(block[0], Dense) and all(isinstance(layer, kinds) for layer in block)


def mapped(layers: Any, change: Callable[[Layer], Layer]) -> Any:
    """The layers with `change` made to every one of them, inner ones first."""
    if isinstance(layers, tuple):
        return tuple(mapped(part, change) for part in layers)
    if isinstance(layers, Layer):
        nested = {n: mapped(v, change) for n, v in vars(layers).items() if _nests(v)}
        return change(replace(layers, **nested) if nested else layers)
    return layers


def _rigid(layers: Layers) -> bool:
    """Whether widths must stay: a sum needs the same channels at the same places on both its sides.

    After a `Branch` or a `Flatten`, a trial's channels are not the first ones of the program's.
    """

    def ends_straight(layers: Layers, straight: bool) -> bool:
        """Whether channels behind these layers are a trial's first ones, as `straight` says before them."""
        for layer in flat(layers):
            if isinstance(layer, Conv | Dense):
                straight = True
            elif isinstance(layer, Flatten):
                straight = False
            elif isinstance(layer, Branch):
                for branch in layer.branches:
                    ends_straight(branch, straight)
                straight = False
            elif isinstance(layer, Residual):
                sides = [ends_straight(part, straight) for part in layer.parts()]
                straight = all(sides)
                bent.append(not straight)
        return straight

    bent: list[bool] = []
    ends_straight(layers, True)
    return any(bent)


def widest(architectures: Iterable[Layers]) -> Layers:
    """What a program compiles that trains all of these; they have one skeleton."""
    every = list(dict.fromkeys(architectures))
    # The first with itself as well, which leaves it with a program's dropout rates.
    return functools.reduce(_joined, every, every[0])


def admits(wide: Layers, layers: Layers) -> bool:
    """Whether a program of `wide` can train `layers`."""
    return skeleton(wide) == skeleton(layers) and _joined(wide, layers) == wide


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, tuple):
        return tuple(_joined(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Blocks):
        deepest = max(len(one.blocks), len(other.blocks))
        return Blocks(_joined(_extended(one, deepest), _extended(other, deepest)))
    if isinstance(one, Layer):
        parts = {n: _joined(v, vars(other)[n]) for n, v in vars(one).items() if _nests(v)}
        if type(one) in OPEN:
            name, _, join = OPEN[type(one)]
            parts[name] = join(getattr(one, name), getattr(other, name))
        return replace(one, **parts)
    return one


def _nests(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(v, Layer | tuple) for v in value)


def _extended(blocks: Blocks, depth: int) -> tuple[Layers, ...]:
    """`depth` blocks: the last again where there are fewer, so that what passes by them has room."""
    return blocks.blocks + blocks.blocks[-1:] * (depth - len(blocks.blocks))


def has_ranks(layer: Layer) -> bool:
    """Whether a layer of a program must know which of its input's channels are the trial's."""
    if isinstance(layer, Activation):
        return any(name in MOVES_ZERO for name in layer.names)
    return isinstance(layer, Dropout | LayerNorm)


@dataclass(frozen=True)
class Fit:
    """One trial's place in a program.

    Attributes:
        values: (V,) float64, of the program's open layers in depth-first order: of an `Activation` of several
            names the index of the trial's, of a `Dropout` its rate and its number among the trial's
            dropouts, of `Blocks` how many of them the trial has.
        ranks: (R,) int32: for each layer with `has_ranks`, its input's C' channels: the channel's number in
            the trial, -1 where it is padding.
        params: (P,) where each of the trial's parameters lies among the program's P'; all of them, as a
            slice, where nothing is padded, since an index of a large model would take twice its memory.
        stats: (Q,) the same of its statistics, among Q'.
    """

    values: np.ndarray
    ranks: np.ndarray
    params: np.ndarray | slice
    stats: np.ndarray | slice


@functools.lru_cache(maxsize=64)
def fit(layers: Layers, wide: Layers, image_shape: Shape) -> Fit:
    """Where `layers` lie in a program of `wide`, which admits them."""
    same = parameters(layers, image_shape) == parameters(wide, image_shape)
    walk = _Walk(padded=not same)
    walk.through(layers, wide, image_shape, np.arange(image_shape[-1]), present=True)
    return Fit(
        np.array(walk.values, float),
        _concatenated(walk.ranks).astype(np.int32),
        slice(0, walk.params.size) if same else _concatenated(walk.params.places),
        slice(0, walk.stats.size) if same else _concatenated(walk.stats.places),
    )


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([*parts, np.zeros(0, np.int64)]).astype(np.int64)


@dataclass
class _Vector:
    """Arrays of a program one behind the other, and where a trial's numbers are in them."""

    size: int = 0
    places: list[np.ndarray] = field(default_factory=list)

    def add(self, shape: Shape, used: tuple[np.ndarray, ...] | None) -> None:
        """An array of the program's; `used` indexes its last axes, None if it is not the trial's."""
        if used is not None:
            whole = [np.arange(n) for n in shape[: len(shape) - len(used)]]
            places = np.ravel_multi_index(np.ix_(*whole, *used), shape)
            self.places.append(self.size + places.reshape(-1))
        self.size += math.prod(shape)


class _Walk:
    """Goes through a trial's layers and the program's side by side, and notes what `Fit` holds."""

    def __init__(self, padded: bool) -> None:
        self.padded = padded
        self.values: list[float] = []
        self.ranks: list[np.ndarray] = []
        self.params, self.stats = _Vector(), _Vector()
        self.dropouts = 0

    def through(
        self, layers: Layers, wide: Layers, shape: Shape, channels: np.ndarray, present: bool
    ) -> np.ndarray:
        """Returns the places of the trial's channels after the last layer.

        Args:
            layers: the trial's.
            wide: the program's.
            shape: of the input in the program.
            channels: (C,) the places of the trial's channels among the C' of the input.
            present: False where the trial passes these layers by.
        """
        for layer, (over, over_shape) in zip(layers, inputs(wide, shape), strict=True):
            channels = self._layer(layer, over, over_shape, channels, present)
        return channels

    def _layer(
        self, layer: Any, over: Any, shape: Shape, channels: np.ndarray, present: bool
    ) -> np.ndarray:
        out = self._out(layer, over, shape, channels)
        for vector, arrays in ((self.params, over.arrays), (self.stats, over.statistics)):
            for array in arrays(shape).values():
                # A bias has the output's channels; a kernel the input's too; a norm's are the same.
                used = (out,) if len(array) == 1 else (channels, out)
                vector.add(array, used if present and self.padded else None)
        if has_ranks(over):
            ranks = np.full(shape[-1], -1)
            ranks[channels] = np.arange(len(channels))
            self.ranks.append(ranks)
        if isinstance(over, Activation) and len(over.names) > 1:
            self.values.append(over.names.index(layer.name))
        elif isinstance(over, Dropout):
            self.values += [layer.rate, self.dropouts]
            self.dropouts += present
        elif isinstance(over, Blocks):
            self.values.append(len(layer.blocks))
            return self._blocks(layer, over, shape, channels, present)
        elif isinstance(over, Branch):
            return self._branches(layer, over, shape, channels, present)
        elif isinstance(over, Residual):
            for part, over_part in zip(layer.parts(), over.parts(), strict=True):
                out = self.through(part, over_part, shape, channels, present)
        return out

    def _out(self, layer: Any, over: Any, shape: Shape, channels: np.ndarray) -> np.ndarray:
        """The places of the channels after a layer that nests none."""
        if isinstance(over, Conv | Dense):
            return np.arange(layer.features if isinstance(layer, Conv) else layer.units)
        if isinstance(over, Flatten):
            *pixels, all_channels = shape
            return (np.arange(math.prod(pixels))[:, None] * all_channels + channels).reshape(-1)
        return channels

    def _blocks(
        self, layer: Blocks, over: Blocks, shape: Shape, channels: np.ndarray, present: bool
    ) -> np.ndarray:
        blocks = zip(_extended(layer, len(over.blocks)), over.blocks, strict=True)
        for number, (block, over_block) in enumerate(blocks):
            here = number < len(layer.blocks)
            after = self.through(block, over_block, shape, channels, present and here)
            channels = after if here else channels
            for part, before in inputs(over_block, shape):
                shape = part.output_shape(before)
        return channels

    def _branches(
        self, layer: Branch, over: Branch, shape: Shape, channels: np.ndarray, present: bool
    ) -> np.ndarray:
        found, first = [], 0
        for branch, over_branch in zip(layer.branches, over.branches, strict=True):
            found.append(first + self.through(branch, over_branch, shape, channels, present))
            first += Branch((over_branch,)).output_shape(shape)[-1]
        return np.concatenate(found)


@functools.lru_cache(maxsize=1024)
def arrays(
    layers: Layers, image_shape: Shape, kind: str = "arrays"
) -> tuple[tuple[str, Shape], ...]:
    """Path → shape of every array of an architecture by itself, as the network orders them.

    Args:
        layers: of one trial.
        image_shape: (H, W, C).
        kind: "arrays" for the parameters, "statistics" for what is kept but not trained.
    """
    return tuple(_arrays(flat(layers), image_shape, kind, "layers"))


def _arrays(layers: Layers, shape: Shape, kind: str, path: str) -> Iterator[tuple[str, Shape]]:
    for number, (layer, before) in enumerate(inputs(layers, shape)):
        here = f"{path}/{number}"
        yield from ((f"{here}/{n}", s) for n, s in getattr(layer, kind)(before).items())
        for place, part in enumerate(layer.parts()):
            yield from _arrays(flat(part), before, kind, f"{here}/paths/{place}")
