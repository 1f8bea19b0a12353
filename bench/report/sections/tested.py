"""Where the best trial errs on the test examples."""

from collections import Counter

import numpy as np

from bench.report import stats, units
from bench.report.charts import Field, Spec, heat_map, pictures
from bench.report.material import Material
from bench.report.sections.section import Part, Section
from bench.report.table import Column, Table

_MOST_PICTURES, _MOST_CLASSES = 24, 60


def confusion(material: Material) -> Section:
    """The confusion matrix, the accuracy of each class, and test images that are taken for another class."""
    title, trained, dataset = "Confusion", material.trained, material.dataset
    if trained is None or dataset is None:
        return Section(
            title, (f"Not told without the test images: {material.missing or 'unknown.'}",)
        )
    labels, predicted, names = dataset.test.labels, trained.test_predictions, dataset.class_names
    fits = len(predicted) == len(labels) and trained.classes == names
    if not fits or (len(predicted) and not 0 <= predicted.min() <= predicted.max() < len(names)):
        return Section(title, ("The predictions in best.npz are of other test examples.",))
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, predicted), 1)
    wrong = int((labels != predicted).sum())
    note = (
        f"Trial {trained.trial.id} on {len(labels):,} test examples: {wrong:,} are taken for another class. "
        "A row is the class that it is, a column the one that it was taken for."
    )
    parts: list[Part] = [note]
    if len(names) <= _MOST_CLASSES:
        parts.append(matrix(counts, names))
    else:
        parts.append(f"The matrix is left out: there are {len(names):,} classes.")
    parts.append(_by_class(counts, names))
    if wrong:
        parts.append(_mistaken(dataset.test.images, labels, predicted, names))
    return Section(title, tuple(parts))


def matrix(counts: np.ndarray, names: tuple[str, ...]) -> Spec:
    """The confusion matrix: counts[true, predicted]."""
    rows = [
        {"is": names[i], "taken": names[j], "examples": int(counts[i, j])}
        for i in range(len(names)) for j in range(len(names)) if counts[i, j]
    ]  # fmt: skip
    taken, true = Field("taken", "taken for", order=names), Field("is", "class", order=names)
    step = 44 if len(names) <= 12 else max(12, 620 // len(names))
    return heat_map(
        rows, taken, true, "examples", "Confusion matrix, in test examples", step, "sqrt"
    )


def _by_class(counts: np.ndarray, names: tuple[str, ...]) -> Table:
    columns = (
        Column("class"), Column("correct", right=True), Column("accuracy", right=True), Column("95 %"),
        Column("most often taken for"),
    )  # fmt: skip
    order = sorted(range(len(names)), key=lambda i: counts[i, i] / max(counts[i].sum(), 1))
    rows = []
    for i in order:
        right, whole = int(counts[i, i]), int(counts[i].sum())
        others = counts[i].copy()
        others[i] = 0
        other = int(others.argmax())
        told = f"{names[other]} ({units.count(int(others[other]))})" if others[other] else "–"
        share = right / whole if whole else None
        interval = units.interval(*stats.wilson(share, whole), whole) if share is not None else ""
        rows.append(
            (names[i], f"{right:,} of {whole:,}", units.percent(share, whole), interval, told)
        )
    return Table("By class, the worst first", columns, tuple(rows))


def _mistaken(
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    names: tuple[str, ...],
) -> Spec:
    """Test images of the pairs of classes that are most often confused."""
    wrong = np.flatnonzero(labels != predicted)
    pairs = [(int(labels[number]), int(predicted[number])) for number in wrong]
    counts = Counter(pairs)
    order = sorted(range(len(wrong)), key=lambda k: (-counts[pairs[k]], pairs[k], k))
    shown = [wrong[k] for k in order[:_MOST_PICTURES]]
    arrays = [images[n] if images.shape[3] == 3 else images[n, :, :, 0] for n in shown]
    words = [f"{names[labels[n]]} → {names[predicted[n]]}" for n in shown]
    title = f"{len(shown)} of {len(wrong):,} that were taken for another class"
    return pictures(arrays, words, title)
