"""`report.html`: one page that shows everything and asks nothing of a network."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from bench.report.charts.spec import config
from bench.report.page.pack import Packed
from bench.report.page.tables import html_table
from bench.report.sections import Choice, Part, Rows, Section
from bench.report.table import Table

_FOLDER = Path(__file__).parent
_NO_CHARTS = "The charts are left out of this page: {why}."


def page(title: str, lead: str, sections: Iterable[Section], bundle: str, why: str = "") -> str:
    """The whole page.

    Args:
        title: of it.
        lead: the sentence below.
        sections: what it shows.
        bundle: JavaScript that defines `vegaEmbed`; without it, charts are left out.
        why: why they are.
    """
    packed = Packed()
    made = list(sections)
    body = "".join(_section(number, section, packed) for number, section in enumerate(made))
    links = "".join(f'<a href="#s{n}">{escape(s.title)}</a>' for n, s in enumerate(made))
    missing = "" if bundle else f"<p>{escape(_NO_CHARTS.format(why=why or 'unknown'))}</p>"
    looks = {"light": config(), "dark": config(dark=True)}
    parts = {
        "title": escape(title),
        "lead": f"<p>{escape(lead)}</p>{missing}",
        "links": links,
        "body": body,
        "style": _text("page.css"),
        "data": _json({**packed.content(), "looks": looks}),
        "vega": _script(bundle),
        "script": _text("kept.js") + _text("table.js") + _text("page.js"),
    }
    whole = _text("page.html")
    pieces = whole.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [parts[name], rest]
    return "".join(filled)


def _text(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _script(code: str) -> str:
    """Code that keeps its names to itself and cannot end the element it stands in.

    In JavaScript only strings and patterns could.
    """
    return f"(() => {{{code}\n}})();".replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _section(number: int, section: Section, packed: Packed) -> str:
    parts = "".join(_part(part, packed) for part in section.parts)
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>{parts}</section>'


def _part(part: Part, packed: Packed) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Table):
        return html_table(part)
    if isinstance(part, Rows):
        return f'<div class="rows" data-rows="{packed.rows(part.table)}"></div>'
    if isinstance(part, Choice):
        return f'<div class="choice" data-choice="{packed.choice(part)}"></div>'
    return f'<figure class="chart" data-chart="{packed.chart(part)}"></figure>'
