"""Which trials did best, and which did not complete."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.record import Results, TrialRecord
from bench.report import stats, units
from bench.report.table import Column, Table

_SOON = 1000  # columns that a narrow terminal leaves out before any axis
_MOST_FAILED = 20  # often of one cause
_WHY = {
    "diverged": "its loss was no longer finite",
    "pruned": "the pruner stopped it",
    "paused": "the sweep stopped before its turn ended",
    "running": "it was still training when this was written",
}


def varying(results: Results) -> tuple[str, ...]:
    """The axes whose values differ between the trials so far."""
    axes = stats.newest_run(results).get("axes", ())
    first = next(iter(results.trials.values()), None)

    def varies(axis: str) -> bool:
        # Soon found: only an axis that does not vary is looked for in every trial.
        value = first and first.trial.settings.get(axis)
        return any(r.trial.settings.get(axis) != value for r in results.trials.values())

    return tuple(filter(varies, axes))


def leaderboard(results: Results, top: int = 10) -> Table:
    """The best `top` trials, ranked by the split held for choosing; test figures are only shown."""
    part = results.rank_by
    data = stats.newest_run(results).get("data", {})
    shown = results.ranked()[:top]
    accuracies = [units.percent(r.metrics.get(f"{part}_accuracy"), data.get(part)) for r in shown]
    columns = [
        (Column("rank", right=True), [str(rank) for rank in range(1, len(shown) + 1)]),
        (Column("trial"), [r.trial.id for r in shown]),
        *_axes(varying(results), shown),
        (Column(f"{part} accuracy", right=True), accuracies),
        (Column("test accuracy", right=True), [_test(r, data.get("test"))[0] for r in shown]),
        (Column("95 %", drop=_SOON - 2), [_test(r, data.get("test"))[1] for r in shown]),
        (Column("test loss", right=True, drop=_SOON), [_loss(r) for r in shown]),
    ]
    notes = [_how_ranked(part, data)]
    sizes = {
        "params": [units.count(r.parameters) for r in shown],
        "epochs": list(map(_epochs, shown)),
    }
    for name, cells in sizes.items():
        if len(set(cells)) == 1:
            notes.append(f"All {name}: {cells[0]}.")
        else:
            columns.append((Column(name, right=True, drop=_SOON - 1), cells))
    remarks = [_remarks(r) for r in shown]
    if any(remarks):
        columns.append((Column("remarks"), remarks))
    heads = tuple(column for column, _ in columns)
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    title = f"Best {len(shown):,} of {len(results.trials):,} trials"
    return Table(title, heads, rows, " ".join(notes))


def _axes(names: Iterable[str], shown: Iterable[TrialRecord]) -> list[tuple[Column, list[str]]]:
    """A column per axis but `epochs`, which has one already; of many, the last find room last."""
    columns = []
    for order, name in enumerate((n for n in names if n != "epochs"), 1):
        values = [record.trial.settings.get(name) for record in shown]
        right = all(isinstance(v, int | float) or v is None for v in values)
        columns.append((Column(name, right, drop=order), [units.setting(v) for v in values]))
    return columns


def ranking_accuracy(record: TrialRecord, results: Results) -> str:
    """`validation accuracy 98.6 %`: what the trial is ranked by."""
    part = results.rank_by
    examples = stats.newest_run(results).get("data", {}).get(part)
    accuracy = units.percent(record.metrics.get(f"{part}_accuracy"), examples)
    return f"{'validation' if part == 'valid' else 'training'} accuracy {accuracy}"


def test_accuracy(record: TrialRecord, examples: int | None) -> str:
    """`98.6 % [96.8, 99.4]`: the interval is Wilson's at 95 %."""
    return " ".join(filter(None, _test(record, examples)))


def _test(record: TrialRecord, examples: int | None) -> tuple[str, str]:
    """Test accuracy, and its interval as far as it has one."""
    accuracy = record.metrics.get("test_accuracy")
    shown = units.percent(accuracy, examples)
    if accuracy is None or not examples:
        return shown, ""
    return shown, units.interval(*stats.wilson(accuracy, examples), examples)


def _how_ranked(part: str, data: Mapping[str, Any]) -> str:
    if part == "valid":
        chosen = (
            f"Ranked by accuracy, then loss, on {units.count(data.get(part))} validation examples."
        )
    else:
        chosen = "Ranked by training accuracy, then loss: no validation split is held."
    tested = f"over {units.count(data.get('test'))} examples with its 95 % interval"
    return f"{chosen} Test accuracy, {tested}, is shown and never selected on."


def _loss(record: TrialRecord) -> str:
    loss = record.metrics.get("test_loss")
    return units.UNKNOWN if loss is None else f"{loss:.4f}" if loss < 100 else units.number(loss)


def _epochs(record: TrialRecord) -> str:
    wanted = record.trial.settings.get("epochs", record.epochs)
    return str(wanted) if record.epochs == wanted else f"{record.epochs} of {wanted}"


def _remarks(record: TrialRecord) -> str:
    status = "" if record.status == "completed" else record.status
    return ", ".join(filter(None, (status, "collapsed" if record.collapsed else "")))


def best_sentence(results: Results) -> str:
    """The trial that ranks first, in one sentence; says so where nothing is measured yet."""
    record = results.best
    if record is None:
        return "No trial has been measured yet."
    examples = stats.newest_run(results).get("data", {}).get("test")
    settings = record.trial.describe(varying(results))
    return (
        f"Of {units.count(len(results.trials))} trials, {record.trial.id} ranks first"
        f"{f' ({settings})' if settings else ''}: {ranking_accuracy(record, results)}, "
        f"test accuracy {test_accuracy(record, examples)} over {units.count(examples)} examples, "
        f"{record.status} after {record.epochs} epochs."
    )


def failed(results: Results) -> Table:
    """Trials that could not be trained, and why, in the order they were tried."""
    columns = (Column("trial"), Column("settings", wrap=True), Column("error", wrap=True))
    names = varying(results)
    records = [r for r in results.trials.values() if r.status == "failed"]
    rows = tuple(
        (r.trial.id, r.trial.describe(names), r.error or units.UNKNOWN)
        for r in records[:_MOST_FAILED]
    )
    more = len(records) - len(rows)
    note = f"… and {units.count(more)} more in trials.csv." if more else ""
    return Table("Failed trials", columns, rows, note)


def incomplete(results: Results) -> Table:
    """Other trials that did not complete, and why, in the order they began."""
    columns = (
        Column("trial"),
        Column("settings", wrap=True),
        Column("status"),
        Column("epochs", right=True),
        Column("reason", wrap=True),
    )
    names = varying(results)
    rows = tuple(
        (
            r.trial.id,
            r.trial.describe(names),
            r.status,
            _epochs(r),
            r.error or _WHY.get(r.status, ""),
        )
        for r in results.trials.values()
        if r.status not in ("completed", "failed")
    )
    return Table("Trials that did not complete", columns, rows)
