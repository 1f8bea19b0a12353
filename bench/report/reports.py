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

FOLDER = "pictures"
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
        found["cost-seconds"], found["cost-parameters"] = fronts(material)
    programs = timings(material.results)
    if programs:
        found["timing"] = seconds(sorted(programs, key=lambda t: -t.train_s)[:_MOST_PROGRAMS])
    return found


def reports(material: Material, drawn: Drawn) -> dict[str, bytes]:
    """Both, and the files that they link to, by path inside the run directory."""
    paths = {name: f"{FOLDER}/{name}.svg" for name in drawn.svg}
    shown = {name.replace("-", " "): path for name, path in paths.items()}
    whole = page(
        title(material.results),
        best_sentence(material.results),
        sections(material),
        drawn.bundle,
        drawn.why,
    )
    texts = {paths[name]: svg for name, svg in drawn.svg.items()}
    texts |= {"report.md": report(material.results, shown, drawn.why), "report.html": whole}
    return {path: text.encode() for path, text in texts.items()}
