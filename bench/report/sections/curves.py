"""Learning curves."""

from typing import Any

from bench.report.charts import Field, Spec, lines
from bench.report.charts.spec import sample
from bench.report.material import Material
from bench.report.sections.section import Choice, Section

_MOST, _BEST = 40, 10  # trials that can be told apart, and those of them that are the best
_MOST_EPOCHS = 100
_WORDS = {"train": "training", "valid": "validation", "test": "test", "running": "running"}


def curves(material: Material) -> Section:
    """Loss and accuracy of each epoch, of the best trials and of some others."""
    records = [record for record in material.ranked if record.epochs]
    if not records:
        return Section("Learning curves", ("No epoch has ended yet.",))
    shown = [records[number].trial.id for number in sample(len(records), _MOST)]
    rows = epochs(material, shown)
    splits = [("train", "test"), ("train",), ("valid",), ("test",), ("running",)]
    known = {part for part in _WORDS if any(row[f"{part}_loss"] is not None for row in rows)}
    options: dict[tuple[str, ...], tuple[Spec, ...]] = {
        (" and ".join(_WORDS[part] for part in split),): pair(rows, split)
        for split in splits
        if known.issuperset(split)
    }
    note = (
        "Training loss and accuracy are of 512 fixed training examples after the epoch, without dropout; "
        "running is the mean over the epoch as it was trained. A line stands out under the pointer."
    )
    if len(records) > _MOST:
        note += f" Shown: the best {_BEST} of {len(records):,} trials, and {_MOST - _BEST} of the others."
    if not options:
        return Section("Learning curves", (note, "No loss is known of any epoch."))
    return Section("Learning curves", (note, Choice(("split",), options)))


def epochs(material: Material, trials: list[str]) -> list[dict[str, Any]]:
    """A row for each epoch of some trials, in their order; of very many epochs, evenly chosen ones."""
    table = material.results.curves.of(set(trials))
    last = int(table.column("epoch").max()) if len(table) else 0
    every = -(-last // _MOST_EPOCHS) or 1
    place = {trial: number for number, trial in enumerate(trials)}
    kept = [row for row in table if row["epoch"] % every == 0 or row["epoch"] in (1, last)]
    return sorted(kept, key=lambda row: (place[row["trial"]], row["epoch"]))


def pair(rows: list[dict[str, Any]], parts: tuple[str, ...]) -> tuple[Spec, Spec]:
    """The loss and the accuracy of some splits, a line for each trial, dashed for the second split."""
    flat = [
        {"trial": row["trial"], "epoch": row["epoch"], "split": _WORDS[part],
         "loss": row[f"{part}_loss"], "accuracy": row[f"{part}_accuracy"]}
        for part in parts for row in rows
    ]  # fmt: skip
    dash = "split" if len(parts) > 1 else None
    words = " and ".join(_WORDS[part] for part in parts).capitalize()
    loss, accuracy = Field("loss", log=True), Field("accuracy", percent=True)
    return (
        lines(flat, "epoch", loss, "trial", f"{words} loss", dash),
        lines(flat, "epoch", accuracy, "trial", f"{words} accuracy", dash),
    )
