"""The two reports for people: `report.md` with a few pictures, and `report.html` with everything."""

from bench.report.charts import Field, Spec
from bench.report.charts.static import Drawn
from bench.report.leaderboard import best_sentence
from bench.report.markdown import report, title
from bench.report.material import Material
from bench.report.page import page
from bench.report.sections import sections
from bench.report.sections.axes import effect, together
from bench.report.sections.cost import fronts
from bench.report.sections.curves import epochs, pair
from bench.report.sections.speed import seconds
from bench.report.speed import timings

PICTURES = "pictures"
_MOST_TRIALS, _MOST_EFFECTS, _MOST_PROGRAMS = 8, 3, 12


def pictures(material: Material) -> dict[str, Spec]:
    """The pictures of `report.md` by file name; what there is nothing of yet is not among them."""
    trials = [record.trial.id for record in material.ranked if record.epochs][:_MOST_TRIALS]
    found: dict[str, Spec] = {}
    if trials:
        rows = epochs(material, trials)
        found["loss"], found["accuracy"] = pair(rows, ("train", "test"))
    if material.measured:
        axes: list[Field] = material.by_importance
        for number, axis in enumerate(axes[:_MOST_EFFECTS], 1):
            found[f"effect-{number}"] = effect(material, axis)
        if len(axes) > 1:
            found["axes"] = together(material, axes[0], axes[1])
        found["seconds"], found["parameters"] = fronts(material)
    programs = timings(material.results)
    if programs:
        found["timing"] = seconds(sorted(programs, key=lambda t: -t.train_s)[:_MOST_PROGRAMS])
    return found


def markdown(material: Material, drawn: Drawn) -> str:
    """`report.md`, with links to what was drawn."""
    shown = {name.capitalize(): f"{PICTURES}/{name}.svg" for name in drawn.svg}
    return report(material.results, shown, drawn.why)


def html(material: Material, drawn: Drawn) -> str:
    """`report.html`."""
    return page(
        title(material.results),
        best_sentence(material.results),
        sections(material),
        drawn.bundle,
        drawn.why,
    )
