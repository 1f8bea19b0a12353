"""Drawn architectures that can share a program: one structure, with widths and the like of their own."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from bench.layers import (
    ACTIVATIONS,
    Activation,
    AveragePool,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    LayerNorm,
    Layers,
    MaxPool,
    Residual,
    Shape,
)

CLASSES = 3
# What keeps every number where it is.
PLAIN = st.sampled_from(["activation", "activation", "batch norm", "layer norm", "dropout"])
POOLS = [
    MaxPool((2, 2), (1, 1), "SAME"),
    AveragePool((2, 2), (2, 2), "SAME"),
    MaxPool((2, 2), (2, 2), "SAME"),
]


class Wide(NamedTuple):
    """A `Conv`, or a `Dense` behind the image, whose width a member draws."""

    kernel: int = 3
    bias: bool = True


class Nest(NamedTuple):
    """A `Branch`, `Blocks`, or `Residual` with or without a projection as shortcut."""

    kind: str
    parts: tuple


@st.composite
def _parts(draw: Any, straight: bool, most: int, nested: bool, image: bool) -> tuple[tuple, bool]:
    """Parts of a structure, and whether its channels are then the first of the program's."""
    found: list[Any] = []
    for _ in range(draw(st.integers(0, most))):
        kinds = ["plain", "wide", "wide"] + ["pool"] * image
        kinds += (["branch", "projection", "blocks"] + ["identity", "stage"] * straight) * nested
        kind = draw(st.sampled_from(kinds))
        if kind == "plain":
            found.append(draw(PLAIN))
        elif kind == "pool":
            found.append(draw(st.sampled_from(POOLS)))
        elif kind == "wide":
            found.append(draw(WIDE))
            straight = True
        elif kind == "branch":
            sides = draw(st.lists(_side(straight, image), min_size=1, max_size=2))
            found.append(Nest("branch", (*sides, ()) if draw(st.booleans()) else tuple(sides)))
            straight = False
        elif kind == "blocks":
            inner = draw(_side(True, image))
            found.append(Nest("blocks", (draw(WIDE), *inner, draw(WIDE))))
            straight = True
        elif kind == "stage":
            inner = Nest("identity", (draw(_side(True, image)),))
            found.append(Nest("blocks", (inner, draw(PLAIN))))
        else:
            found.append(Nest(kind, (draw(_side(straight, image)), draw(_side(straight, image)))))
            straight = straight or kind == "projection"
    return tuple(found), straight


def _side(straight: bool, image: bool) -> st.SearchStrategy:
    """What may be on one side of a sum, in a block: it keeps the pixels."""
    return _parts(straight, 2, nested=False, image=False).map(lambda drawn: drawn[0])


WIDE = st.builds(Wide, st.sampled_from([1, 2, 3]), st.booleans())


@st.composite
def structures(draw: Any) -> tuple:
    """Parts on the image, how it becomes flat, and parts behind."""
    body, straight = draw(_parts(True, 3, nested=True, image=True))
    flat = draw(st.sampled_from([Flatten(), GlobalPool("average"), GlobalPool("max")]))
    straight = straight and isinstance(flat, GlobalPool)
    return body, flat, draw(_parts(straight, 2, nested=True, image=False))[0]


class _Member:
    """Draws one architecture of a structure."""

    def __init__(self, draw: Any, widths: st.SearchStrategy):
        self.draw, self.widths, self.image = draw, widths, True

    def layers(self, structure: tuple, channels: int) -> Layers:
        body, flat, head = structure
        found, channels = self.row(body, channels)
        self.image = False
        return (*found, flat, *self.row(head, channels)[0], Dense(CLASSES))

    def wide(self, part: Wide, width: int) -> Layer:
        return Conv(width, part.kernel, bias=part.bias) if self.image else Dense(width, part.bias)

    def row(self, parts: tuple, channels: int) -> tuple[Layers, int]:
        found: list[Layer] = []
        for part in parts:
            layer, channels = self.layer(part, channels)
            found.append(layer)
        return tuple(found), channels

    def layer(self, part: Any, channels: int) -> tuple[Layer, int]:
        if isinstance(part, Wide):
            width = self.draw(self.widths)
            return self.wide(part, width), width
        if isinstance(part, Nest):
            return getattr(self, part.kind)(part.parts, channels)
        return (self.plain(part) if isinstance(part, str) else part), channels

    def plain(self, kind: str) -> Layer:
        match kind:
            case "activation":
                return Activation(self.draw(st.sampled_from(ACTIVATIONS)))
            case "dropout":
                return Dropout(self.draw(st.sampled_from([0.0, 0.25, 0.5])))
            case "batch norm":
                return BatchNorm()
        return LayerNorm(1e-2)

    def branch(self, parts: tuple, channels: int) -> tuple[Layer, int]:
        sides = [self.row(part, channels) for part in parts]
        return Branch(tuple(side for side, _ in sides)), sum(width for _, width in sides)

    def identity(self, parts: tuple, channels: int) -> tuple[Layer, int]:
        inner, _ = self.row(parts[0], channels)
        return Residual((*inner, self.wide(Wide(1), channels))), channels

    def projection(self, parts: tuple, channels: int) -> tuple[Layer, int]:
        width = self.draw(self.widths)
        sides = [(*self.row(part, channels)[0], self.wide(Wide(1), width)) for part in parts]
        return Residual(*sides), width

    def blocks(self, parts: tuple, channels: int) -> tuple[Layer, int]:
        # Only blocks that a lane can pass by may be of different number.
        passable = not self.image and all(isinstance(part, Wide | str) for part in parts)
        passable = passable and isinstance(parts[0], Wide)
        found = []
        for _ in range(self.draw(st.integers(1, 3)) if passable else 2):
            block, channels = self.row(parts, channels)
            found.append(block)
        return Blocks(tuple(found)), channels


IMAGES = st.tuples(st.integers(4, 5), st.integers(4, 5), st.integers(1, 2))


@st.composite
def families(draw: Any, members: int = 3, widest: int = 6) -> tuple[Shape, list[Layers]]:
    """An image's shape, and architectures of one structure."""
    image, structure = draw(IMAGES), draw(structures())
    widths = st.integers(1, widest)
    return image, [_Member(draw, widths).layers(structure, image[-1]) for _ in range(members)]
