"""The sections of a report: pure functions of what is known."""

from collections.abc import Callable

from bench.report.material import Material
from bench.report.sections.axes import effects, heat_maps, parallel_coordinates, seeds
from bench.report.sections.cost import cost
from bench.report.sections.curves import curves
from bench.report.sections.fit import fit
from bench.report.sections.network import architecture, weights
from bench.report.sections.section import Choice, Part, Rows, Section
from bench.report.sections.speed import conditions_of, timing
from bench.report.sections.tested import confusion
from bench.report.sections.trials import incomplete, leaderboard

__all__ = ["SECTIONS", "Choice", "Part", "Rows", "Section", "sections"]

SECTIONS: tuple[Callable[[Material], Section], ...] = (
    leaderboard, curves, effects, heat_maps, parallel_coordinates, cost, seeds, fit, architecture, weights,
    confusion, timing, incomplete, conditions_of,
)  # fmt: skip


def sections(material: Material) -> list[Section]:
    """All of them, in the order of the page."""
    return [make(material) for make in SECTIONS]
