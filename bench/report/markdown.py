"""`report.md`: the tables as one page."""

from bench.record import Results
from bench.report import stats
from bench.report.conditions import conditions
from bench.report.leaderboard import best_sentence, failed, incomplete, leaderboard
from bench.report.table import to_markdown
from bench.report.tables import programs, timing, totals

_TOP = 20
_MOST = 100  # rows of any other table: a page is for reading, `trials.csv` and `run.json` have all


def report(results: Results) -> str:
    """The whole report, in Markdown."""
    name = stats.newest_run(results).get("data", {}).get("name")
    tables = [leaderboard(results, _TOP), timing(results), programs(results), totals(results)]
    tables += [table for table in (failed(results), incomplete(results)) if table.rows]
    tables.append(conditions(results))
    parts = [f"# Convoy: a sweep on {name or 'unknown data'}", best_sentence(results)]
    parts += [to_markdown(table.head(_MOST)) for table in tables]
    return "\n\n".join(parts) + "\n"
