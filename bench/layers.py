"""An architecture as data: layers with their shapes, parameters and FLOPs, without JAX.

Letters: an image has H×W pixels and C channels, its shape is (H, W, C); a flat shape is (C,).
All shapes are of one example, without the batch. `Layers` are hashable and equal by content.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.checks import Check, fraction, must_be, one_of, pair, positive, some_of, whole
from bench.errors import ShapeError

Shape = tuple[int, ...]
Pair = tuple[int, int]
Layers = tuple["Layer", ...]

ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "elu", "selu", "silu", "leaky_relu", "softplus",
               "identity")  # fmt: skip


def _is_layers(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(layer, Layer) for layer in value)


_layers = must_be("a tuple of layers", _is_layers)
_all_layers = must_be(
    "a tuple of tuples of layers",
    lambda v: isinstance(v, tuple) and len(v) > 0 and all(map(_is_layers, v)),
)

# By the field's name, whichever layer has it.
CHECKS: dict[str, Check] = {
    **dict.fromkeys(("features", "units"), whole),
    **dict.fromkeys(("kernel", "window", "stride"), pair),
    **dict.fromkeys(("layers", "shortcut"), _layers),
    **dict.fromkeys(("branches", "blocks"), _all_layers),
    "padding": one_of("SAME", "VALID"),
    "bias": one_of(False, True),
    "kind": one_of("average", "max"),
    "name": some_of(*ACTIVATIONS),
    "momentum": fraction,
    "epsilon": positive,
    "rate": fraction,
}


def by(shape: Iterable[int]) -> str:
    """A shape as people write it: 28×28×1."""
    return "×".join(map(str, shape))


@dataclass(frozen=True)
class Layer:
    """One step of an architecture. By itself it keeps the shape and counts what its parts do."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in CHECKS:
                value = CHECKS[name](f"{type(self).__name__} {name}", value)
                object.__setattr__(self, name, value)  # the class is frozen

    def __str__(self) -> str:
        shown = [str(v) for v in vars(self).values() if not isinstance(v, bool | tuple)]
        return " ".join([type(self).__name__, *shown])

    def parts(self) -> tuple[Layers, ...]:
        """The nested layers, one `Layers` per side; () in a layer that nests none."""
        return ()

    def counted(self) -> tuple[Layers, ...]:
        """The nested layers whose numbers are this one's, each on its own input."""
        return self.parts()

    def output_shape(self, shape: Shape) -> Shape:
        """Shape after this layer, or ShapeError, which ends with the fix."""
        return shape

    def arrays(self, shape: Shape) -> dict[str, Shape]:  # noqa: ARG002
        """Name → shape of what is trained here, parts not counted, in the order of the names."""
        return {}

    def statistics(self, shape: Shape) -> dict[str, Shape]:  # noqa: ARG002
        """Name → shape of what is kept but not trained: running means and variances."""
        return {}

    def parameters(self, shape: Shape) -> int:
        """How many numbers are trained."""
        own = sum(map(math.prod, self.arrays(shape).values()))
        return own + sum(parameters(part, shape) for part in self.counted())

    def state(self, shape: Shape) -> int:
        """How many numbers are kept but not trained."""
        own = sum(map(math.prod, self.statistics(shape).values()))
        return own + sum(state(part, shape) for part in self.counted())

    def flops(self, shape: Shape) -> int:
        """Forward FLOPs of one example: 2 per multiply-add of conv and dense.

        Everything else counts zero, as is the custom.
        """
        return sum(flops(part, shape) for part in self.counted())


def _slide(shape: Shape, window: Pair, stride: Pair, padding: str) -> Pair:
    """Rows and columns of the places at which a window stops on an image of `shape`."""
    if len(shape) != 3:
        raise ShapeError("it needs an image, height×width×channels; put it before Flatten")
    if padding == "SAME":
        return -(-shape[0] // stride[0]), -(-shape[1] // stride[1])
    if window[0] > shape[0] or window[1] > shape[1]:
        raise ShapeError(
            "nothing is left of the image; use fewer pools, padding SAME or a larger image"
        )
    return (shape[0] - window[0]) // stride[0] + 1, (shape[1] - window[1]) // stride[1] + 1


@dataclass(frozen=True)
class Conv(Layer):
    """(H, W, C) -> (H', W', features). An int kernel or stride stands for a square one."""

    features: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: str = "SAME"
    bias: bool = True

    def __str__(self) -> str:
        stride = "" if self.stride == (1, 1) else f" stride {by(self.stride)}"
        return f"Conv {self.features} {by(self.kernel)}{stride} {self.padding}"

    def output_shape(self, shape: Shape) -> Shape:
        return *_slide(shape, self.kernel, self.stride, self.padding), self.features

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        bias = {"bias": (self.features,)} if self.bias else {}
        return {**bias, "kernel": (*self.kernel, shape[-1], self.features)}

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(self.kernel) * shape[-1] * math.prod(self.output_shape(shape))


@dataclass(frozen=True)
class _Pool(Layer):
    window: Pair = (2, 2)
    stride: Pair = None  # type: ignore[assignment]  # the window's; a pair once constructed
    padding: str = "VALID"

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, "stride", self.window)
        super().__post_init__()

    def __str__(self) -> str:
        stride = "" if self.stride == self.window else f" stride {by(self.stride)}"
        return f"{type(self).__name__} {by(self.window)}{stride} {self.padding}"

    def output_shape(self, shape: Shape) -> Shape:
        return *_slide(shape, self.window, self.stride, self.padding), shape[-1]


class MaxPool(_Pool):
    """(H, W, C) -> (H', W', C), the window's maximum. An int stands for a square."""


class AveragePool(_Pool):
    """(H, W, C) -> (H', W', C), the window's mean. An int stands for a square."""


@dataclass(frozen=True)
class GlobalPool(Layer):
    """(H, W, C) -> (C,), the mean ("average") or the maximum ("max") of all pixels."""

    kind: str = "average"

    def output_shape(self, shape: Shape) -> Shape:
        _slide(shape, (1, 1), (1, 1), "SAME")  # raises where there is no image
        return shape[-1:]


@dataclass(frozen=True)
class Dense(Layer):
    """(C,) -> (units,)."""

    units: int
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError("it needs a flat input; put Flatten or GlobalPool before it")
        return (self.units,)

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        bias = {"bias": (self.units,)} if self.bias else {}
        return {**bias, "kernel": (shape[-1], self.units)}

    def flops(self, shape: Shape) -> int:
        return 2 * shape[-1] * self.units


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function, one of ACTIVATIONS; in a program several, of which a lane uses one."""

    name: str | tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.name if isinstance(self.name, tuple) else (self.name,)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalises each of the C channels; trains scale and bias, keeps running mean and variance.

    A step keeps `momentum` of the running numbers; `epsilon` is added to the variance.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("bias", "scale"), shape[-1:])

    def statistics(self, shape: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("mean", "var"), shape[-1:])


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalises the C channels of each pixel together, as `BatchNorm` does one channel of many pixels."""

    epsilon: float = 1e-6

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("bias", "scale"), shape[-1:])


@dataclass(frozen=True)
class Dropout(Layer):
    """Drops each number with probability `rate` in training."""

    rate: float


@dataclass(frozen=True)
class Flatten(Layer):
    """(H, W, C) -> (H·W·C,)."""

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Branch(Layer):
    """All branches see the same input; their outputs are concatenated along the channels."""

    branches: tuple[Layers, ...]

    def output_shape(self, shape: Shape) -> Shape:
        ends = [output_shape(part, shape) for part in self.branches]
        if len({end[:-1] for end in ends}) > 1:
            raise ShapeError(
                f"its branches put out {' and '.join(map(by, ends))}, which differ in more than "
                "channels; use padding SAME and the same strides in all of them"
            )
        return *ends[0][:-1], sum(end[-1] for end in ends)

    def parts(self) -> tuple[Layers, ...]:
        return self.branches


@dataclass(frozen=True)
class Residual(Layer):
    """The sum of what `layers` and `shortcut` make of the input; an empty shortcut keeps it."""

    layers: Layers
    shortcut: Layers = ()

    def output_shape(self, shape: Shape) -> Shape:
        ends = [output_shape(part, shape) for part in self.parts()]
        if ends[0] != ends[1]:
            raise ShapeError(
                f"its layers put out {by(ends[0])}, its shortcut {by(ends[1])}; "
                "make them agree, say with a 1×1 Conv as shortcut"
            )
        return ends[0]

    def parts(self) -> tuple[Layers, ...]:
        return self.layers, self.shortcut


@dataclass(frozen=True)
class Blocks(Layer):
    """Layers in a row, in blocks; a program passes by the blocks that a trial lacks.

    The architecture is the same without the grouping (see `flat`). Of blocks with convolutions, pools or
    nested layers none is passed by: their number is structure.
    """

    blocks: tuple[Layers, ...]

    def output_shape(self, shape: Shape) -> Shape:
        return output_shape(flat((self,)), shape)

    def counted(self) -> tuple[Layers, ...]:
        return (flat((self,)),)


# Whole architectures. ShapeError if the image does not fit through; `summary.check` says where.


def inputs(layers: Layers, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Each layer with the shape of what comes in."""
    for layer in layers:
        yield layer, shape
        shape = layer.output_shape(shape)


def output_shape(layers: Layers, input_shape: Shape) -> Shape:
    """Shape after the last layer."""
    for layer in layers:
        input_shape = layer.output_shape(input_shape)
    return input_shape


@functools.lru_cache(maxsize=4096)
def parameters(layers: Layers, input_shape: Shape) -> int:
    """How many numbers are trained."""
    return sum(layer.parameters(shape) for layer, shape in inputs(layers, input_shape))


def state(layers: Layers, input_shape: Shape) -> int:
    """How many numbers are kept but not trained."""
    return sum(layer.state(shape) for layer, shape in inputs(layers, input_shape))


@functools.lru_cache(maxsize=4096)
def flops(layers: Layers, input_shape: Shape) -> int:
    """Forward FLOPs of one example, of conv and dense alone."""
    return sum(layer.flops(shape) for layer, shape in inputs(layers, input_shape))


def flat(layers: Layers) -> Layers:
    """The layers in a row, those of `Blocks` among them."""
    return sum((flat(sum(x.blocks, ())) if isinstance(x, Blocks) else (x,) for x in layers), ())
