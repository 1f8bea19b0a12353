"""Pictures as data: pure functions from rows to Vega-Lite specifications with the data inside.

A page draws them with Vega in the browser, `static` as SVG, so that both show the same. Rows are dicts;
what is None or not finite is unknown and not drawn.

    svg(lines(rows, Field("epoch"), Field("loss", log=True), Field("trial")))
"""

from bench.report.charts.bar import bars
from bench.report.charts.coordinates import parallel
from bench.report.charts.fields import Field
from bench.report.charts.front import pareto
from bench.report.charts.heat import heat_map
from bench.report.charts.image import pictures
from bench.report.charts.interval import spread
from bench.report.charts.line import lines
from bench.report.charts.points import scatter
from bench.report.charts.regression import scatter_with_regression
from bench.report.charts.spec import Spec, config
from bench.report.charts.static import svg

__all__ = [
    "Field", "Spec", "bars", "config", "heat_map", "lines", "parallel", "pareto", "pictures", "scatter",
    "scatter_with_regression", "spread", "svg",
]  # fmt: skip
