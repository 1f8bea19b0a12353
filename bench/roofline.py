"""What a program could reach on a machine: compute or memory bounds it, whichever is met first.

    attainable FLOP/s = min(peak FLOP/s, intensity × peak B/s)

Intensity is FLOPs for each byte that goes to or comes from memory. Williams, Waterman and Patterson,
"Roofline: an insightful visual performance model for multicore architectures", CACM 52 (4), 2009.
Pure arithmetic, without JAX.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import costs
from bench.layers import Layers, Shape
from bench.timing import Spread


@dataclass(frozen=True)
class Peaks:
    """What a machine was measured to reach, all devices in use at once (`bench.peaks`).

    Attributes:
        flops_per_s: of a product of square matrices, the best of `n`: interference only ever lowers it.
        bytes_per_s: of rewriting an array in memory, what is read and what is written both counted; the
            best of `n`.
        precision: of the numbers, "float32" or "float64".
        matrix: rows of the matrices that were quickest.
        array_bytes: of the array, on each device.
        n: dispatches that each of the two is the best of.
        flops_spread, bytes_spread: of these dispatches.
        seconds: that measuring took.
    """

    flops_per_s: float
    bytes_per_s: float
    precision: str
    matrix: int
    array_bytes: int
    n: int
    flops_spread: Spread
    bytes_spread: Spread
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """Of one training iteration of one lane.

    Attributes:
        flops: as they are counted where a rate is reported: of conv and dense layers, forward and backward.
            Those of augmentation, elementwise code and the optimizer are overhead.
        bytes: what elementwise code, unfolded images and the optimizer read and write.
    """

    flops: float
    bytes: float

    @property
    def intensity(self) -> float:
        """FLOPs for each byte."""
        return self.flops / self.bytes


@dataclass(frozen=True)
class Bound:
    """The roof over a program: `kind` is "compute" or "memory", at this intensity."""

    kind: str
    flops_per_s: float


def work(
    layers: Layers,
    image_shape: Shape,
    microbatch: int,
    batch_sizes: Sequence[int],
    optimizers: Sequence[str],
    augment: bool = False,
    beside: bool = False,
) -> Work:
    """What one lane of a program does in an iteration, by the amounts that the planner counts.

    Lanes in turn update after their own last microbatch and by their own family, of which the mean is
    taken; side by side (`beside`) every family is computed in every iteration.
    """
    accumulates = tuple(batch_sizes) != (microbatch,)
    one = costs.iteration(layers, image_shape, microbatch, accumulates, augment, beside)
    size = costs.sizes(layers, image_shape)
    updates = costs.update(size.parameters, optimizers).bytes
    if not beside:
        often = sum(microbatch / batch for batch in batch_sizes) / len(batch_sizes)
        updates *= often / len(optimizers)
    return Work(costs.training_flops(size.flops) * microbatch, one.bytes + updates)


def bound(intensity: float, flops_per_s: float, bytes_per_s: float) -> Bound:
    """The roof at an intensity in FLOP/B, of a machine with these peaks."""
    by_memory = intensity * bytes_per_s
    if by_memory < flops_per_s:
        return Bound("memory", by_memory)
    return Bound("compute", flops_per_s)
