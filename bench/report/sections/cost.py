"""Accuracy against what it costs."""

from bench.report.charts import Field, Spec, pareto
from bench.report.charts.fields import over_decade
from bench.report.charts.spec import thinned
from bench.report.material import NAME, PARAMETERS, SECONDS, Material
from bench.report.sections.section import Section

_MOST = 2000


def cost(material: Material) -> Section:
    """Accuracy against seconds of training and against parameters, each with its Pareto front."""
    title, rows = "Accuracy and cost", material.measured
    if not rows:
        return Section(title, ("No trial has been measured yet.",))
    note = (
        "The blue line is the Pareto front: no trial is as cheap and better. Seconds are a trial's share of "
        "the time of its program's dispatches."
    )
    if len(rows) > _MOST:
        note += f" Drawn: {_MOST:,} of {len(rows):,} trials, and the front of all."
    return Section(title, (note, *fronts(material)))


def fronts(material: Material) -> tuple[Spec, ...]:
    """Accuracy against seconds, and against parameters."""
    rows, trial = material.measured, Field(NAME, "trial")
    found = []
    for key, words in ((SECONDS, "training time (s)"), (PARAMETERS, "parameters")):
        axis = Field(key, words, log=over_decade(row[key] for row in rows))
        words = f"{material.accuracy.words.capitalize()} against {words}"
        found.append(thinned(pareto(rows, axis, material.accuracy, words, trial), _MOST))
    return tuple(found)
