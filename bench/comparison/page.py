"""A comparison as one HTML page that needs nothing else: tables, and a picture of the ratios."""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from bench.comparison.ratio import FASTER, SLOWER
from bench.comparison.ratios import MOST_ROWS, interval
from bench.comparison.row import Joined, Row
from bench.comparison.tables import shown
from bench.report import units
from bench.report.page.tables import html_table
from bench.report.table import Table

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #888; } .right { text-align: right; }
p.note { color: #777; font-size: .85rem; max-width: 60rem; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
svg line { stroke: currentColor; } svg .grid { stroke-opacity: .2; }
svg .band { fill: #888; fill-opacity: .2; }
.slower { color: #c0392b; } .faster { color: #1e8449; } .other { color: #777; }
"""
# Whatever a run directory holds, nothing of it is run or loaded.
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
_LEFT, _WIDTH, _LINE = 340, 1000, 22  # pixels
_FARTHEST = math.log(16)  # of a ratio; what lies beyond is drawn at the edge
_CLASSES = {SLOWER: "slower", FASTER: "faster"}


def page(title: str, words: Sequence[str], tables: Iterable[Table], pictures: Iterable[str]) -> str:
    """The whole page."""
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            _POLICY,
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *(f"<p>{escape(sentence)}</p>" for sentence in words),
            *pictures,
            *(html_table(table, level=2) for table in tables),
            "</body></html>\n",
        )
    )


def picture(joined: Joined, margin: float) -> str:
    """Each ratio as a point on a logarithmic axis, with its interval as a line, as SVG."""
    rows = joined.tested[:MOST_ROWS]
    ends = [
        math.log(1 + margin),
        *(abs(math.log(e)) for _, r in rows for e in _span(r) if 0 < e < math.inf),
    ]
    reach = min(1.1 * max(ends), _FARTHEST)
    height = _LINE * (len(rows) + 2)

    def x(ratio: float) -> float:
        place = math.log(ratio) / reach if 0 < ratio < math.inf else math.copysign(1, ratio - 1)
        return _LEFT + (_WIDTH - _LEFT - 20) * (1 + max(-1.0, min(1.0, place))) / 2

    band = f'<rect class="band" x="{x(1 / (1 + margin)):.1f}" y="0" '
    band += f'width="{x(1 + margin) - x(1 / (1 + margin)):.1f}" height="{height - _LINE}"/>'
    title = (
        f"{joined.second.name} against {joined.first.name}: ratios of ms/step, with their intervals"
    )
    return "\n".join(
        (
            f'<h2>{escape(title)}</h2><div class="wide">',
            f'<svg width="{_WIDTH}" height="{height}" role="img"><title>{escape(title)}</title>{band}',
            *(_tick(x(ratio), ratio, height) for ratio in _ticks(reach)),
            *(_mark(name, row, x, _LINE * (n + 1), margin) for n, (name, row) in enumerate(rows)),
            "</svg></div>",
        )
    )


def _span(row: Row) -> tuple[float, ...]:
    return (row.ratio.value, *(row.ratio.interval() or ()))


def _ticks(reach: float) -> list[float]:
    """Ratios to mark: 1, and on both sides of it a few round ones."""
    step = next(
        (s for s in (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0) if 4 * math.log(s) >= reach), 4.0
    )
    most = int(reach / math.log(step))
    return [step**n for n in range(-most, most + 1)]


def _tick(x: float, ratio: float, height: int) -> str:
    foot = height - _LINE
    return (
        f'<line class="{"axis" if ratio == 1 else "grid"}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{foot}"/>'
        f'<text x="{x:.1f}" y="{foot + 16}" text-anchor="middle">{units.number(ratio)}</text>'
    )


def _mark(name: str, row: Row, x: Callable[[float], float], y: int, margin: float) -> str:
    verdict, found = row.ratio.verdict(margin), row.ratio.interval()
    words = f"{units.number(row.ratio.value)} {interval(row.ratio)}: {verdict}"
    line = ""
    if found:
        line = f'<line x1="{x(found[0]):.1f}" x2="{x(found[1]):.1f}" y1="{y}" y2="{y}" stroke-width="2"/>'
    name = shown(name if len(name) < 50 else name[:48] + "…")
    return (
        f'<g class="{_CLASSES.get(verdict, "other")}"><title>{escape(words)}</title>'
        f'<text x="0" y="{y + 4}">{escape(name)}</text>{line}'
        f'<circle cx="{x(row.ratio.value):.1f}" cy="{y}" r="4" fill="currentColor"/></g>'
    )
