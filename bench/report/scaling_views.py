"""The files of a hardware benchmark's run directory, made whole from its journal: any can be deleted."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from bench.curves import Curve, ruling
from bench.journal import write_file
from bench.points import KINDS, Measured, Point
from bench.record import SCHEMA
from bench.report import scaling
from bench.report.table import to_markdown


def write_scaling(workdir: Path, measured: Measured) -> None:
    """Writes `points.csv`, `run.json` and `report.md`.

    Raises:
        RecordError: see `journal.write_file`.
    """
    write_file(workdir / "points.csv", points_csv(measured))
    write_file(workdir / "run.json", run_json(measured))
    write_file(workdir / "report.md", report(measured).encode())


def points_csv(measured: Measured) -> bytes:
    """A row per point, in the order in which they were measured; empty cells are unknown."""
    rows = [_flat(point) for point in measured.points.values()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["entry"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _flat(point: Point) -> dict[str, Any]:
    """A point as one row of numbers, in machine units."""
    plain = {k: v for k, v in vars(point).items() if k not in ("seconds", "joules")}
    return {**plain, **{f"{k}_{n}": v for k in KINDS for n, v in _rates(point, k).items()}}


def _rates(point: Point, kind: str) -> dict[str, Any]:
    ms = point.ms(kind)
    return {
        **{f"ms_per_step_{name}": getattr(ms, name) for name in ("median", "p5", "p95", "n")},
        "ms_per_step_per_trial": None if ms.median is None else ms.median / point.lanes,
        "examples_per_s": point.examples_per_s(kind),
        "gflops_per_s": point.gflops_per_s(kind),
        "joules_per_example": point.joules_per_example(kind),
    }


def run_json(measured: Measured) -> bytes:
    """The machine, the settings, all points and what follows from them; null is unknown."""
    start = measured.starts[-1] if measured.starts else {}
    names = ("time", "benchmark", "precision", "strategy", "hardware", "software", "energy")
    content = {
        "schema": SCHEMA,
        **{name: start.get(name) for name in names},
        "points": [_flat(point) for point in measured.points.values()],
        "skipped": [vars(skip) for skip in measured.skips],
        "curves": [_curve(curve) for curve in scaling.all_curves(measured)],
        "finished": measured.finished,
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _curve(curve: Curve) -> dict[str, Any]:
    found: dict[str, Any] = {
        "entry": curve.entry,
        "over": curve.over,
        "lanes" if curve.over == "batch" else "batch": curve.fixed,
        "sizes": curve.sizes,
        "ended": curve.ended,
    }
    for kind in KINDS:
        full = curve.full(kind)
        found[f"{kind}_examples_per_s"] = curve.rates(kind)
        found[f"{kind}_full"] = full and getattr(full, curve.over)
        if curve.over == "batch":
            found[f"{kind}_largest_is_ideal"] = ruling(curve, kind).holds
    return found


def report(measured: Measured) -> str:
    """The whole report, in Markdown."""
    *first, last = scaling.conclusions(measured)
    entries = [table for name in measured.entries for table in scaling.of_entry(measured, name)]
    tables = (*first, *entries, last)
    parts = ["# Convoy: what this machine does", *map(to_markdown, tables)]
    return "\n\n".join(parts) + "\n"
