"""The run directory's views: each made whole from the journal, so that any can be deleted."""

import csv
import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.data import Dataset
from bench.errors import brief
from bench.journal import make as make_folder
from bench.record import METRICS, SCHEMA, RecordError, Results, TrialRecord, write_file
from bench.report import stats
from bench.report.charts.static import draw
from bench.report.material import gather
from bench.report.reports import FOLDER, pictures, reports
from bench.report.speed import Timing, timings

_AFTER = (
    "params", "epochs_done", *METRICS, "test_examples", "collapsed", "program", "seconds", "error",
)  # fmt: skip
_CURVES = pa.schema(
    [("trial", pa.string()), ("epoch", pa.int64()), ("step", pa.int64())]
    + [(name, pa.float64()) for name in METRICS]
)
_LOSSES = pa.schema(
    [("trial", pa.string()), ("step", pa.int64())]
    + [(name, pa.float64()) for name in ("loss", "accuracy")]
)


def write_views(
    workdir: Path,
    results: Results,
    dataset: Dataset | None = None,
    data_dir: Path | str | None = None,
) -> None:
    """Writes `trials.csv`, `curves.parquet`, `run.json`, `report.md` with its pictures, and
    `report.html`; and `losses.parquet`, if there are any.

    Args:
        workdir: the run directory.
        results: its journal, read.
        dataset: that it learns, if it is at hand; else see `material.gather`.
        data_dir: where data sets lie.

    Raises:
        RecordError: see `record.write_file`, each file is its old or its new self; or a journal that nobody
            but a forger writes.
    """
    made = {"trials.csv": trials_csv, "curves.parquet": curves_parquet, "run.json": run_json}
    if results.losses:
        made["losses.parquet"] = losses_parquet
    for name, make in made.items():
        with told(workdir):
            content = make(results)
        write_file(workdir / name, content)
    with told(workdir):
        material = gather(workdir, results, dataset, data_dir)
        drawn = draw(pictures(material))
        contents = reports(material, drawn)
    if (workdir / FOLDER).is_symlink():  # of a directory from elsewhere, to anywhere
        raise RecordError(f"{workdir / FOLDER} is a link: remove it")
    for path, content in contents.items():
        make_folder((workdir / path).parent)
        write_file(workdir / path, content)


@contextmanager
def told(workdir: Path) -> Iterator[None]:
    """Around what makes something of results: a journal made by hand can hold what nothing is to be made of.

    Raises:
        RecordError: for any such error.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise RecordError(
            f"{workdir} holds what no sweep records ({type(error).__name__}: {brief(error)}); use another "
            "run directory"
        ) from error


def trials_csv(results: Results) -> bytes:
    """A row per trial, best first, so that the order of training leaves no trace; empty: unknown or inactive.

    `epochs` is the hyperparameter, `epochs_done` how many the trial trained for. Ids are text even
    where all their digits are decimal: `pandas.read_csv(…, dtype={"trial": str, "program": str})`.
    """
    records = results.ranked()
    names = sorted({name for record in records for name in record.trial.settings})
    examples = stats.newest_run(results).get("data", {}).get("test")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("trial", "status", *names, *_AFTER))
    for record in records:
        settings = (_cell(record.trial.settings.get(name)) for name in names)
        writer.writerow((record.trial.id, record.status, *settings, *_after(record, examples)))
    return text.getvalue().encode()


def _after(record: TrialRecord, examples: int | None) -> tuple[Any, ...]:
    metrics = [_cell(record.metrics.get(name)) for name in METRICS]
    tested = examples if record.metrics.get("test_accuracy") is not None else None
    rest = (tested, record.collapsed, record.program, record.seconds, record.error)
    return (record.parameters, record.epochs, *metrics, *map(_cell, rest))


def _cell(value: Any) -> Any:
    """`value` as text that reads back as itself; what is not finite is unknown."""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    if isinstance(value, str):
        # Python's csv leaves it unquoted, and reads it as a line's end.
        return value.replace("\r", " ")
    return json.dumps(value) if isinstance(value, tuple | list) else value


def curves_parquet(results: Results) -> bytes:
    """A row per trial and epoch, by the trial's id; nulls are unknown."""
    columns = [
        pa.array(results.curves.column(column.name), column.type, from_pandas=True)
        for column in _CURVES
    ]
    table = pa.table(columns, schema=_CURVES).sort_by(
        [("trial", "ascending"), ("epoch", "ascending")]
    )
    return _parquet(table)


def losses_parquet(results: Results) -> bytes:
    """A row per trial and window of steps, by the trial's id: its last step, and means over the window."""
    tables = []
    for trial, windows in sorted(results.losses.items()):
        trials = pa.repeat(pa.scalar(trial, pa.string()), len(windows))
        means = (pa.array(mean, from_pandas=True) for mean in windows.means())
        columns = [trials, pa.array(windows.column("step")), *means]
        tables.append(pa.table(columns, schema=_LOSSES))
    return _parquet(pa.concat_tables(tables))


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def run_json(results: Results) -> bytes:
    """What the sweep ran on, with, and how fast; null is unknown."""
    run = stats.newest_run(results)
    best = results.best
    content = {
        "schema": SCHEMA,
        **{name: run.get(name) for name in ("time", "command", "software", "data")},
        "hardware": {**run["hardware"], "peaks": results.peaks} if "hardware" in run else None,
        "axes": run.get("axes"),
        "planned": run.get("planned"),
        "best": best and best.trial.id,
        "rank_by": results.rank_by,
        "programs": [_program(timing, results) for timing in timings(results)],
        "totals": asdict(stats.totals(results)),
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _program(timing: Timing, results: Results) -> dict[str, Any]:
    fields = asdict(timing)
    # Which conv and pool lowerings it uses, once a plan chooses among them.
    return {
        "id": fields.pop("program"),
        **fields,
        "lowerings": results.programs[timing.program].plan.get("lowerings"),
    }
