"""What programs reached beside what the machine allows (Williams, Waterman and Patterson 2009)."""

from collections.abc import Sequence

from bench.report.charts.fields import Field, Row
from bench.report.charts.spec import BLUE, GRAY, Spec, chart, columns, position, tooltip


def roofline(
    rows: Sequence[Row], flops_per_s: float, bytes_per_s: float, title: str = "Roofline"
) -> Spec:
    """Programs as points under the roof of two peaks, both axes logarithmic.

    Args:
        rows: `program`, `intensity` in FLOP/B, `gflops_per_s` each.
        flops_per_s: the peak of compute.
        bytes_per_s: the peak of memory.
        title: above it.
    """
    x = Field("intensity", "FLOPs for each byte", log=True)
    y = Field("gflops_per_s", "GFLOP/s", log=True)
    found = {"x": x.of(rows), "y": y.of(rows), "name": Field("program").of(rows)}
    ridge = flops_per_s / bytes_per_s
    ends = [min([ridge, *found["x"]]) / 3, ridge, max([ridge, *found["x"]]) * 3]
    roof = columns(x=ends, y=[min(flops_per_s, end * bytes_per_s) / 1e9 for end in ends])
    told = tooltip(name=(Field("program"), [""]), x=(x, found["x"]), y=(y, found["y"]))
    encoding = {
        "x": position(x, "x", [*ends, *found["x"]]),
        "y": position(y, "y", [*(row["y"] for row in roof), *found["y"]]),
    }
    line = {"type": "line", "color": GRAY, "strokeWidth": 2}
    point = {"type": "point", "filled": True, "size": 70, "color": BLUE, "opacity": 0.9}
    layer = [
        {"data": {"values": roof}, "mark": line, "encoding": encoding},
        {"mark": point, "encoding": {**encoding, "tooltip": told}},
    ]
    return chart(columns(**found), title, layer=layer)
