"""An architecture on one input shape: does it fit, a row per layer, and the table of those."""

from itertools import chain
from typing import NamedTuple

from bench.errors import ShapeError
from bench.layers import Layers, Shape, by, flat, output_shape


class Row(NamedTuple):
    """One layer. Those that nest others count nothing themselves, so columns add up to totals.

    `shape` is the output's, `parameters` are trained, `state` is kept untrained, `flops` is per
    example, of conv and dense alone.
    """

    number: str
    text: str
    shape: Shape
    parameters: int
    state: int
    flops: int


def summary(layers: Layers, input_shape: Shape, prefix: str = "") -> tuple[Row, ...]:
    """A row per layer. Those in the parts of layer 4 follow it as 4.1.1, 4.1.2, …, 4.2.1, ….

    Raises ShapeError, which names the layer, the shape at which it fails, and the fix.
    """
    rows: list[Row] = []
    shape = input_shape
    for i, layer in enumerate(flat(layers), 1):
        number, parts = f"{prefix}{i}", layer.parts()
        nested = [summary(part, shape, f"{number}.{j}.") for j, part in enumerate(parts, 1)]
        try:
            out = layer.output_shape(shape)
        except ShapeError as e:
            raise ShapeError(f"layer {number} ({layer}) does not fit {by(shape)}: {e}") from None
        counts = (layer.parameters(shape), layer.state(shape), layer.flops(shape))
        rows.append(Row(number, str(layer), out, *((0, 0, 0) if parts else counts)))
        rows += chain.from_iterable(nested)
        shape = out
    return tuple(rows)


def check(layers: Layers, input_shape: Shape, classes: int, trial: str = "") -> None:
    """Raises ShapeError unless the image fits through and (classes,) comes out.

    The message names the trial (its id), the layer as `summary` does, its input shape, the fix.
    """
    at = f"trial {trial}: " if trial else ""
    try:
        summary(layers, input_shape)
    except ShapeError as e:
        raise ShapeError(f"{at}{e}") from None
    end = output_shape(layers, input_shape)
    if end != (classes,):
        before = "Flatten and " if len(end) > 1 else ""
        raise ShapeError(
            f"{at}the output is {by(end)} where there are {classes} classes; "
            f"end with {before}Dense {classes}"
        )


def _size(numbers: int) -> str:
    size = 4 * numbers  # bytes of float32
    return f"{size / 1e6:,.2f} MB" if size >= 1e6 else f"{size / 1e3:,.2f} kB"


def table(rows: tuple[Row, ...]) -> str:
    """Layer, output shape, parameters (untrained ones too) and MFLOP per example; then totals."""
    lines = [("", "Layer", "Output shape", "Parameters", "MFLOP")]
    for row in rows:
        numbers = f"{row.parameters + row.state:,}"
        lines.append((row.number, row.text, by(row.shape), numbers, f"{row.flops / 1e6:,.3f}"))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    align = "<<<>>"
    text = ["  ".join(f"{c:{a}{w}}" for c, a, w in zip(line, align, widths, strict=True))
            for line in lines]  # fmt: skip
    rule = "─" * len(text[0])
    trained, kept = sum(row.parameters for row in rows), sum(row.state for row in rows)
    totals = [
        f"Total parameters: {trained + kept:,} ({_size(trained + kept)} as float32)",
        f"Trainable: {trained:,} ({_size(trained)})",
        f"Non-trainable: {kept:,} ({_size(kept)})",
        f"FLOPs per example: {sum(row.flops for row in rows):,}",
    ]
    return "\n".join([text[0], rule, *text[1:], rule, *totals])
