"""The best trials' layers, and what the first of them has learned."""

from collections.abc import Sequence

import numpy as np

from bench import summary
from bench.best import Trained
from bench.errors import ConvoyError, brief
from bench.layers import Shape, by
from bench.record import TrialRecord
from bench.report import units
from bench.report.charts import pictures
from bench.report.material import Material
from bench.report.sections.section import Part, Section
from bench.report.table import Column, Table

_MOST_NETWORKS = 3
_MOST_PICTURES = 48


def architecture(material: Material) -> Section:
    """A row per layer of the best trials, as far as their layers differ."""
    title, look = "Layers", material.data.get("preprocessing")
    shape = look and tuple(look.get(side) for side in ("height", "width", "channels"))
    classes = material.data.get("classes")
    if not material.results.best:
        return Section(title, ("No trial has been measured yet.",))
    if not classes or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        return Section(
            title, ("The size of the images is unknown: this journal is of an older schema.",)
        )
    found: dict[tuple[str, ...], Table] = {}  # by what the layers are, whatever they drop
    for rank, record in enumerate(material.ranked[:100], 1):
        try:
            rows = summary.summary(record.trial.layers(classes), shape)
            texts = tuple(row.text for row in rows if not row.text.startswith("Dropout"))
            found.setdefault(texts, _table(rank, record, rows))
        except (ConvoyError, KeyError) as error:  # settings of another version
            return Section(title, (f"The layers cannot be told: {brief(error)}.",))
        if len(found) == _MOST_NETWORKS:
            break
    note = "Parameters include those that are kept untrained. MFLOP are of a forward pass of one example."
    parts: list[Part] = [f"The best trials, as far as their layers differ. {note}", *found.values()]
    return Section(title, tuple(parts))


def _table(rank: int, record: TrialRecord, rows: Sequence[summary.Row]) -> Table:
    columns = (
        Column(""), Column("layer"), Column("output shape", right=True), Column("parameters", right=True),
        Column("MFLOP", right=True),
    )  # fmt: skip
    cells = [
        (row.number, row.text, by(row.shape), units.count(row.parameters + row.state),
         f"{row.flops / 1e6:,.3f}")
        for row in rows
    ]  # fmt: skip
    total = (
        "", "all", "", units.count(sum(row.parameters + row.state for row in rows)),
        f"{sum(row.flops for row in rows) / 1e6:,.3f}",
    )  # fmt: skip
    return Table(f"Rank {rank}: {record.trial.id}", columns, (*cells, total))


def weights(material: Material) -> Section:
    """The weights of the best trial's first layer, as pictures."""
    title, trained = "First layer", material.trained
    if trained is None:
        return Section(title, (material.missing or "No trained trial was found.",))
    found = first_kernel(trained)
    if found is None:
        return Section(title, (f"No weights of trial {trained.trial.id} act on the image itself.",))
    words, arrays = found
    names = (
        trained.classes if len(arrays) == len(trained.classes) and arrays[0].ndim == 2
        and arrays[0].shape == (trained.preprocessing.height, trained.preprocessing.width) else ()
    )  # fmt: skip
    shown = arrays[:_MOST_PICTURES]
    note = f"{words} of trial {trained.trial.id}. Middle gray is 0; one scale for all pictures."
    if len(arrays) > len(shown):
        note += f" Shown: the first {len(shown)} of {len(arrays):,}."
    return Section(title, (note, pictures(shown, names[: len(shown)], signed=True)))


def first_kernel(trained: Trained) -> tuple[str, list[np.ndarray]] | None:
    """The name of what acts on the image itself, and it as (H, W) or (H, W, 3) pictures; None without it."""
    look = trained.preprocessing
    image: Shape = (look.height, look.width, look.channels)
    kernels = {path: array for path, array in trained.weights.items() if path.endswith("kernel")}
    if not kernels:
        return None
    first = kernels[min(kernels, key=_place)]
    if first.ndim == 2 and first.shape[0] == np.prod(image) and first.size:
        arrays = [first[:, unit].reshape(image) for unit in range(first.shape[1])]
        words = f"Weights of the {len(arrays):,} units of the dense layer on the image"
    elif first.ndim == 4 and first.shape[2] == look.channels and first.size:
        arrays = [first[..., number] for number in range(first.shape[3])]
        words = f"The {len(arrays):,} filters of the first convolution"
    else:
        return None
    return words, [array[..., 0] if look.channels == 1 else array for array in arrays]


def _place(path: str) -> tuple:
    """`layers/3/kernel` before `layers/12/kernel`."""
    return tuple(
        (part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in path.split("/")
    )
