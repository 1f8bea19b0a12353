"""What the hyperparameters that vary do to the accuracy."""

from collections import Counter
from itertools import permutations

from bench.report import units
from bench.report.charts import (
    Field,
    Spec,
    bars,
    heat_map,
    parallel,
    scatter_with_regression,
    spread,
)
from bench.report.charts.spec import sample, thinned
from bench.report.importance import LEAST, METHOD, Importance
from bench.report.material import NAME, SEEDS, Material
from bench.report.sections.section import Choice, Part, Section

_MOST_LINES, _MOST_POINTS, _MOST_AXES, _MOST_SETTINGS = 300, 1000, 12, 30
NOTHING = "No hyperparameter but a seed varies between trials that have been measured."


def effects(material: Material) -> Section:
    """The accuracy against each axis, the most important first."""
    title, rows = "Effect of each axis", material.measured
    if not material.axes or not rows:
        return Section(title, (NOTHING,))
    found = material.importance
    parts: list[Part] = [
        "Points are trials, diamonds means; a straight line where the axis is a number, over its logarithm "
        "where that is how it is drawn. Other axes vary along, so read it beside the heat maps."
        + _thinned(rows)
    ]
    if found is None:
        parts.append(
            f"Importance is not told: it takes {LEAST} measured trials of different accuracy, here are "
            f"{len(rows):,}."
        )
    else:
        parts += [
            _importance(found),
            f"{METHOD} R² on unseen trials: {found.r2:.2f}, of {found.trials:,}.",
        ]
    parts += [effect(material, axis) for axis in material.by_importance]
    return Section(title, tuple(parts))


def effect(material: Material, axis: Field) -> Spec:
    """The accuracy against one axis."""
    spec = scatter_with_regression(
        material.measured, axis, material.accuracy, axis.words, Field(NAME, "trial")
    )
    return {**thinned(spec, _MOST_POINTS), "width": 280, "height": 200}


def _importance(found: Importance) -> Spec:
    rows = [
        {"axis": axis.replace("_", " "), "loss": max(loss, 0.0)} for axis, loss in found.of.items()
    ]
    return bars(
        rows, Field("axis", " "), Field("loss", "loss of R² when shuffled"), title="Importance"
    )


def _thinned(rows: list) -> str:
    return f" Drawn: {_MOST_POINTS:,} of {len(rows):,} trials." if len(rows) > _MOST_POINTS else ""


def _most_important(material: Material) -> tuple[list[Field], str]:
    """The axes that there is room for, and a sentence where there is none for all."""
    axes, count = list(material.by_importance[:_MOST_AXES]), len(material.axes)
    return axes, f" The {len(axes)} most important axes of {count}." if count > len(axes) else ""


def heat_maps(material: Material) -> Section:
    """The mean accuracy over any two axes."""
    title, rows = "Two axes together", material.measured
    if len(material.axes) < 2 or not rows:
        return Section(title, ("It takes two hyperparameters that vary, and measured trials.",))
    axes, left_out = _most_important(material)
    note = (
        f"Mean over all other axes; the number of trials of a cell is under the pointer.{left_out}"
    )
    options: dict[tuple[str, ...], tuple[Spec, ...]] = {
        (a.words, b.words): (together(material, a, b),) for a, b in permutations(axes, 2)
    }
    return Section(title, (note, Choice(("across", "down"), options)))


def together(material: Material, across: Field, down: Field) -> Spec:
    """The mean accuracy over two axes."""
    words = f"{material.accuracy.words.capitalize()} by {across.words} and {down.words}"
    return heat_map(material.measured, across, down, material.accuracy, words)


def parallel_coordinates(material: Material) -> Section:
    """Trials as lines across the axes."""
    title, rows = "Parallel coordinates", material.measured
    if len(material.axes) < 2 or not rows:
        return Section(title, ("It takes two hyperparameters that vary, and measured trials.",))
    shown = [rows[number] for number in sample(len(rows), _MOST_LINES)]
    chosen, left_out = _most_important(material)
    axes = [axis for axis in material.axes if axis in chosen]
    note = "A line is a trial; the best lie on top."
    if len(rows) > _MOST_LINES:
        best = _MOST_LINES // 4
        note += f" Shown: the best {best} of {len(rows):,} trials, and {_MOST_LINES - best} of the others."
    lines = parallel(shown, axes, material.accuracy, "", Field(NAME, "trial"))
    return Section(title, (note + left_out, lines))


def seeds(material: Material) -> Section:
    """How far the accuracy of the same setting spreads over seeds."""
    title, rows = "Spread over seeds", material.measured
    keys = [axis.key for axis in material.axes]
    names = [" ".join(f"{key}={units.setting(row.get(key))}" for key in keys) for row in rows]
    several = [name for name, count in Counter(names).items() if count > 1]
    if not several or not _vary(rows):
        return Section(title, ("No setting was trained with more than one seed.",))
    first = set(several[:_MOST_SETTINGS])
    shown = [{"setting": n, **row} for n, row in zip(names, rows, strict=True) if n in first]
    note = "Of trials that differ in a seed alone: from the least to the greatest, and the median."
    if len(several) > len(first):
        note += f" Shown: {len(first)} of {len(several):,} settings, those with the best trials."
    return Section(title, (note, spread(shown, "setting", material.accuracy)))


def _vary(rows: list) -> bool:
    return any(len({row.get(seed) for row in rows}) > 1 for seed in SEEDS)
