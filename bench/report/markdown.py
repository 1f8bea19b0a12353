"""`report.md`: the tables as one page, and pictures."""

from collections.abc import Mapping

from bench.record import Results
from bench.report import stats
from bench.report.conditions import conditions
from bench.report.leaderboard import best_sentence, failed, incomplete, leaderboard
from bench.report.table import to_markdown
from bench.report.tables import programs, timing, totals

_TOP = 20
_MOST = 100  # rows of any other table: a page is for reading, `trials.csv` and `run.json` have all


def title(results: Results) -> str:
    """The heading of a report."""
    name = stats.newest_run(results).get("data", {}).get("name")
    return f"Convoy: a sweep on {name or 'unknown data'}"


def report(results: Results, pictures: Mapping[str, str] | None = None, note: str = "") -> str:
    """The whole report, in Markdown.

    Args:
        results: of the run.
        pictures: title → path of a picture, as seen from the report.
        note: on pictures that are not there.
    """
    tables = [leaderboard(results, _TOP), timing(results), programs(results), totals(results)]
    tables += [table for table in (failed(results), incomplete(results)) if table.rows]
    tables.append(conditions(results))
    shown = [f"![{name}]({path})" for name, path in (pictures or {}).items()]
    shown += [f"Not all pictures are here: {note}."] if note else []
    parts = [f"# {title(results)}", best_sentence(results), to_markdown(tables[0])]
    parts += ["## Charts", *shown] if shown else []
    parts += [to_markdown(table.head(_MOST)) for table in tables[1:]]
    return "\n\n".join(parts) + "\n"
