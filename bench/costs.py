"""What programs cost on a machine: amounts of work, and the constants that make seconds of them.

Seconds are a sum of constants times amounts, so that the constants can be fitted to measured probes:

    amounts = iteration(layers, image_shape, rows=32) + update(parameters, ("adam",))
    seconds = costs.seconds(amounts)

Letters: N training examples, P parameters of a program, H×W pixels, C channels. Pure arithmetic, without JAX.
"""

import functools
import math
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bench.layers import Activation, Conv, Layers, Shape, flat

FLOAT_BYTES = 4
PASSES = 3  # of a training iteration: forward, and backward to the inputs and to the weights
MOST_TAPS = 49  # convolutions of more do not unfold their input, see `bench.ops.conv`

# Numbers read or written in the time that one number of a gradient takes to be summed over two devices of a
# CPU, with all else that sharing costs: so that of `python -m benchmarks.alone` the slower way is not chosen.
EXCHANGED = 64
# How many moments of a parameter's size each optimizer keeps; the rest keep one.
STATES = {"sgd": 0, "adam": 2, "adamw": 2}


@dataclass(frozen=True)
class Workload:
    """What every trial of a sweep trains on: sizes only. Each epoch ends with `evaluated` examples."""

    image_shape: Shape
    classes: int
    train_examples: int
    evaluated: int = 0


@dataclass(frozen=True)
class Machine:
    """Where the programs run.

    Attributes:
        platform: JAX's name.
        devices: over which lanes are spread.
        memory_bytes: of one device.
        compilers: programs that are compiled at the same time.
        shares: devices in the place of each of `devices`, that share the examples of its lanes.
    """

    platform: str
    devices: int
    memory_bytes: int
    compilers: int = 1
    shares: int = 1

    def shared(self, by: int) -> "Machine":
        """With `by` devices to a lane, of as many as there are in all."""
        devices = self.devices * self.shares
        return replace(self, devices=max(1, devices // by), shares=by)


@dataclass(frozen=True)
class Amounts:
    """Work, by the constant of `Costs` that it takes.

    Attributes:
        programs, compiled_layers, choices, families, accumulates: of compiling: programs, their layers with
            parameters, names beyond the first of each activation, optimizer families beyond the first,
            programs that accumulate gradients.
        iterations, layers: of running: loop bodies, and layers with parameters in them. Lanes side by
            side share both; in turn, each has its own.
        flops, bytes: multiply-adds of conv and dense twice, and what elementwise code reads and writes.
    """

    programs: float = 0
    compiled_layers: float = 0
    choices: float = 0
    families: float = 0
    accumulates: float = 0
    iterations: float = 0
    layers: float = 0
    flops: float = 0
    bytes: float = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(*map(operator.add, vars(self).values(), vars(other).values()))

    def __mul__(self, times: float) -> "Amounts":
        return Amounts(*(times * amount for amount in vars(self).values()))


@dataclass(frozen=True)
class Costs:
    """The constants of one machine.

    Attributes:
        chip: the machine's name, or "default (cpu)".
        platform: JAX's name of it.
        devices: how many it had when they were measured; the constants are per device.
        measured: ISO date; "" where they are assumed.
        compile_s, compile_layer_s, compile_choice_s, compile_family_s, compile_accumulate_s: seconds of
            compiling a program, and for each layer with parameters, each further name of an activation,
            each further optimizer family, for accumulating gradients.
        iteration_s, layer_s: seconds of one loop body beside its arithmetic, and of a layer in it.
        flops_per_s: what convolutions and dense layers reach.
        bytes_per_s: what elementwise code reads and writes.
    """

    chip: str
    platform: str
    devices: int
    measured: str
    compile_s: float
    compile_layer_s: float
    compile_choice_s: float
    compile_family_s: float
    compile_accumulate_s: float
    iteration_s: float
    layer_s: float
    flops_per_s: float
    bytes_per_s: float

    def seconds(self, amounts: Amounts) -> float:
        """What `amounts` take, one behind the other."""
        return (
            self.compile_s * amounts.programs
            + self.compile_layer_s * amounts.compiled_layers
            + self.compile_choice_s * amounts.choices
            + self.compile_family_s * amounts.families
            + self.compile_accumulate_s * amounts.accumulates
            + self.iteration_s * amounts.iterations
            + self.layer_s * amounts.layers
            + amounts.flops / self.flops_per_s
            + amounts.bytes / self.bytes_per_s
        )


# Assumed until measured. The CPU's are what one core of a current server does with small CNNs; the GPU's
# and TPU's are orders of magnitude: launches of a loop body, and a tenth of what such a chip reaches at best.
_ACCELERATOR = Costs("", "", 1, "", 8.0, 1.0, 1.5, 1.0, 2.0, 150e-6, 0.0, 1e13, 1.5e12)
_DEFAULTS = {
    "cpu": Costs("", "cpu", 1, "", 1.5, 0.2, 0.4, 0.2, 0.4, 20e-6, 10e-6, 35e9, 30e9),
    "gpu": replace(_ACCELERATOR, platform="gpu"),
    "tpu": replace(_ACCELERATOR, platform="tpu"),
}


def default(platform: str) -> Costs:
    """Assumed constants; a platform that is not known counts as a GPU."""
    found = _DEFAULTS.get(platform, _DEFAULTS["gpu"])
    return replace(found, chip=f"default ({found.platform})")


@dataclass(frozen=True)
class Sizes:
    """An architecture in numbers.

    Attributes:
        parameters: P.
        layers: how many have parameters.
        flops: of one example's forward pass.
        outputs: numbers that all layers put out for one example, the image included.
        unfolded: numbers that convolutions copy for one example.
        choices: names beyond the first of each activation.
        rejected: numbers that those put out for one example where all are computed.
    """

    parameters: int
    layers: int
    flops: int
    outputs: int
    unfolded: int
    choices: int
    rejected: int


@functools.lru_cache(maxsize=16_384)
def sizes(layers: Layers, image_shape: Shape) -> Sizes:
    """The numbers of an architecture through which the image fits."""
    own = (0, 0, 0, math.prod(image_shape), 0, 0, 0)
    return Sizes(*map(sum, zip(own, *_each_size(layers, image_shape), strict=True)))


def _each_size(layers: Layers, shape: Shape) -> Iterator[tuple[int, ...]]:
    """The numbers of each layer, in the order of `Sizes`."""
    for layer in flat(layers):
        after, parts = layer.output_shape(shape), layer.parts()
        arrays, outputs = sum(map(math.prod, layer.arrays(shape).values())), math.prod(after)
        unfolded = 0
        if isinstance(layer, Conv) and math.prod(layer.kernel) <= MOST_TAPS:
            unfolded = math.prod(layer.kernel) * shape[-1] * math.prod(after[:2])
        choices = len(layer.names) - 1 if isinstance(layer, Activation) else 0
        counted = 0 if parts else layer.flops(shape)
        yield arrays, arrays > 0, counted, outputs, unfolded, choices, choices * outputs
        for part in parts:
            yield from _each_size(part, shape)
        shape = after


def training_flops(forward_flops: int) -> int:
    """FLOPs of a training step from those of its forward pass: the backward pass takes twice as many."""
    return PASSES * forward_flops


def forward(layers: Layers, image_shape: Shape, rows: float, beside: bool = False) -> Amounts:
    """One forward pass of one lane over `rows` examples, as one loop body.

    Lanes side by side (`beside`) compute every name of an activation, and select one.
    """
    size = sizes(layers, image_shape)
    # Every output is written and read; the unfolded copies and the weights are read.
    outputs = size.outputs + (size.rejected if beside else 0)
    return Amounts(
        iterations=1,
        layers=size.layers / PASSES,
        flops=rows * size.flops,
        bytes=FLOAT_BYTES * (rows * (size.unfolded + 2 * outputs) + size.parameters),
    )


def iteration(
    layers: Layers,
    image_shape: Shape,
    rows: int,
    accumulates: bool = False,
    augment: bool = False,
    beside: bool = False,
) -> Amounts:
    """One training iteration of one lane over a microbatch of `rows`, without the optimizer.

    It may add its gradient to earlier ones (`accumulates`) and resample its images (`augment`).
    """
    found = replace(forward(layers, image_shape, rows, beside) * PASSES, iterations=1)
    if accumulates:
        found += Amounts(bytes=3 * FLOAT_BYTES * sizes(layers, image_shape).parameters)
    if augment:
        # Two matrix products an image, whose weights are made of positions.
        pixels, (height, width, _) = math.prod(image_shape), image_shape
        numbers = 3 * (height * height + width * width) + 4 * pixels
        found += Amounts(
            flops=2 * rows * pixels * (height + width), bytes=FLOAT_BYTES * rows * numbers
        )
    return found


def exchange(parameters: int, shares: int) -> Amounts:
    """An iteration's gradient, summed over the devices that share a lane."""
    return Amounts(bytes=EXCHANGED * FLOAT_BYTES * parameters * (shares - 1))


def of_lanes(one: Amounts, lanes: float, beside: bool) -> Amounts:
    """The work of some lanes of a device: in turn each has its own loop, side by side they share one."""
    return replace(one, flops=lanes * one.flops, bytes=lanes * one.bytes) if beside else one * lanes


def touched(optimizers: Iterable[str]) -> int:
    """Numbers that an update reads and writes per parameter: the parameter, its gradient, the moments."""
    return sum(3 + 2 * STATES.get(family, 1) for family in optimizers)


def update(parameters: int, optimizers: Iterable[str]) -> Amounts:
    """One update of one lane by the families that are computed.

    In turn ("map") that is the lane's own; side by side ("vmap") every family of the program.
    """
    return Amounts(bytes=FLOAT_BYTES * parameters * touched(optimizers))


def evaluation(
    layers: Layers, image_shape: Shape, examples: int, batch: int, beside: bool = False
) -> Amounts:
    """One pass of one lane over the evaluated examples, in batches."""
    return forward(layers, image_shape, batch, beside) * math.ceil(examples / batch)


def compiling(
    layers: Layers, image_shape: Shape, optimizers: Iterable[str], accumulates: bool = False
) -> Amounts:
    """Compiling one program."""
    size = sizes(layers, image_shape)
    return Amounts(
        programs=1,
        compiled_layers=size.layers,
        choices=size.choices,
        families=len(set(optimizers)) - 1,
        accumulates=accumulates,
    )
