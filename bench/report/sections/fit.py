"""Whether trials fit, underfit or overfit."""

from collections import Counter

from bench.report import units
from bench.report.charts import Field, scatter
from bench.report.charts.spec import Spec, columns, thinned
from bench.report.diagnosis import RULE
from bench.report.material import FIT, NAME, TEST_LOSS, TRAIN_LOSS, Material
from bench.report.sections.section import Section
from bench.report.table import Column, Table

_MOST = 2000


def fit(material: Material) -> Section:
    """Test loss against training loss, and how many trials are what."""
    title = "Fit"
    if not material.rows:
        return Section(title, ("No trial has begun yet.",))
    counts = Counter(row[FIT] for row in material.rows).most_common()
    rows = tuple((name, units.count(n)) for name, n in counts)
    table = Table("", (Column("fit"), Column("trials", right=True)), rows)
    known = [row for row in material.rows if None not in (row[TRAIN_LOSS], row[TEST_LOSS])]
    if not known:
        return Section(title, (RULE, table, "No trial has both a training and a test loss."))
    note = f" Drawn: {_MOST:,} of {len(known):,} trials." if len(known) > _MOST else ""
    return Section(title, (RULE + note, _chart(known), table))


def _chart(rows: list) -> Spec:
    """With a line where both losses are the same."""
    x, y = Field(TRAIN_LOSS, "training loss, without dropout", log=True), Field(TEST_LOSS, log=True)
    name, color = Field(NAME, "trial"), Field(FIT, "fit")
    spec = thinned(scatter(rows, x, y, "Test loss against training loss", name, color), _MOST)
    ends = [
        [end(row[key] for row in rows) for key in (TRAIN_LOSS, TEST_LOSS)] for end in (min, max)
    ]
    low, high = max(ends[0]), min(ends[1])
    if low >= high:
        return spec
    encoding = {k: v for k, v in spec["layer"][0]["encoding"].items() if k in "xy"}
    mark = {"type": "line", "strokeDash": [3, 3], "strokeWidth": 1, "color": "#999999"}
    same = columns(x=[low, high], y=[low, high])
    spec["layer"].insert(0, {"data": {"values": same}, "mark": mark, "encoding": encoding})
    return spec
