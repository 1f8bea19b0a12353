"""Where a network needs an operation, as data: what a lowering is chosen for.

Letters: H×W pixels, I channels in, O out.
"""

from dataclasses import dataclass

Pair = tuple[int, int]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class PoolSite:
    """A max pool of (H, W, I) images; padding "SAME" or "VALID"."""

    image: Shape
    window: Pair
    stride: Pair
    padding: str

    def __str__(self) -> str:
        return f"{self.told} on {_by(self.image)}"

    @property
    def told(self) -> str:
        """The operation without its input."""
        stride = "" if self.stride == self.window else f" stride {_by(self.stride)}"
        return f"max {_by(self.window)}{stride} {self.padding}"

    @property
    def tiles(self) -> bool:
        """Whether no two windows overlap and none is padded."""
        exact = all(s % w == 0 for s, w in zip(self.image[:2], self.window, strict=True))
        return self.window == self.stride and (self.padding == "VALID" or exact)


@dataclass(frozen=True)
class ConvSite:
    """A convolution of (H, W, I) images to O features, with what follows it at once.

    Attributes:
        image: (H, W, I).
        features: O.
        kernel: height and width in taps.
        stride: down and to the right.
        padding: "SAME" or "VALID".
        bias: added after it.
        relu: follows then, before or after the pool, which commutes.
        pool: of the result.
        first: nothing before it is trained, so that its input needs no gradient.
    """

    image: Shape
    features: int
    kernel: Pair
    stride: Pair
    padding: str
    bias: bool
    relu: bool = False
    pool: PoolSite | None = None
    first: bool = False

    def __str__(self) -> str:
        stride = "" if self.stride == (1, 1) else f" stride {_by(self.stride)}"
        parts = [f"conv {self.features} {_by(self.kernel)}{stride} {self.padding}"]
        parts += ["bias"] * self.bias + ["relu"] * self.relu
        parts += [self.pool.told] if self.pool else []
        return f"{', '.join(parts)} on {'first ' * self.first}{_by(self.image)}"


@dataclass(frozen=True)
class DenseSite:
    """A dense layer of I inputs and O units."""

    inputs: int
    units: int
    bias: bool
    first: bool = False

    def __str__(self) -> str:
        bias = ", bias" if self.bias else ""
        return f"dense {self.units}{bias} on {'first ' * self.first}{self.inputs}"


Site = ConvSite | PoolSite | DenseSite


def _by(sizes: Shape) -> str:
    return "×".join(map(str, sizes))
