"""Where the time went."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from bench.report import conditions, tables
from bench.report.charts import Field, Spec, bars, scatter
from bench.report.charts.fields import over_decade
from bench.report.charts.roofline import roofline
from bench.report.material import Material
from bench.report.sections.section import Part, Section
from bench.report.speed import Timing, iterations_of_step, timings

_MOST = 30  # programs that are drawn
_MOST_ROWS = 100
_PHASES = {"compile_s": "compile", "tune_s": "tune", "input_s": "input", "train_s": "train",
           "eval_s": "evaluate"}  # fmt: skip


def timing(material: Material) -> Section:
    """Seconds of each program, milliseconds a step, the roofline, and the tables."""
    results = material.results
    found = sorted(timings(results), key=lambda t: -t.train_s)
    if not found:
        return Section("Timing", ("No program has been compiled yet.", tables.totals(results)))
    parts: list[Part] = []
    if len(found) > _MOST:
        parts.append(f"Drawn: the {_MOST} programs that trained longest, of {len(found):,}.")
    parts.append(seconds(found[:_MOST]))
    steps = _steps(material, found[:_MOST])
    parts.append(
        steps or "No step has been measured yet: a program's first dispatch is its warm-up."
    )
    parts.append(_roof(material, found))
    shown = (tables.timing(results), tables.programs(results), tables.totals(results))
    return Section("Timing", (*parts, *(table.head(_MOST_ROWS) for table in shown)))


def seconds(found: list[Timing]) -> Spec:
    """A bar a program, of its phases. Programs compile side by side: those seconds may overlap."""
    rows = [
        {"program": t.program, "seconds": getattr(t, name), "phase": phase}
        for t in found for name, phase in _PHASES.items() if getattr(t, name)
    ]  # fmt: skip
    return bars(rows, "program", "seconds", "phase", "Seconds of each program")


def _steps(material: Material, found: list[Timing]) -> Spec | None:
    """Median milliseconds a step against the lanes that were busy, of the smallest batch of each program."""
    rows: list[dict[str, Any]] = []
    for t in found:
        train = material.results.programs[t.program].train
        busy, iterations = train.column("lanes"), train.column("iterations")
        measured = (train.column("warmup") == 0) & (iterations > 0) & (busy > 0)
        ms = 1000 * train.column("seconds")[measured] / iterations[measured]
        ms *= iterations_of_step(min(t.batch_sizes), t.microbatch)
        groups: defaultdict[int, list[float]] = defaultdict(list)
        for lanes, value in zip(busy[measured], ms, strict=True):
            groups[int(lanes)].append(float(value))
        rows += [
            {"program": t.program, "lanes": lanes, "ms": float(np.median(values))}
            for lanes, values in groups.items()
        ]
    if not rows:
        return None
    x = Field("lanes", "busy lanes", log=over_decade(row["lanes"] for row in rows))
    y = Field("ms", "ms/step", log=over_decade(row["ms"] for row in rows))
    return scatter(rows, x, y, "Milliseconds a step against lanes", color="program")


def _roof(material: Material, found: list[Timing]) -> Part:
    peaks = material.results.peaks
    rows = [vars(t) for t in found if t.intensity and t.gflops_per_s]
    if not peaks or not rows:
        why = "its peaks are measured when it ends" if not peaks else "no program has been measured"
        return f"The roofline of this machine is not known yet: {why}."
    return roofline(rows, peaks["flops_per_s"], peaks["bytes_per_s"])


def conditions_of(material: Material) -> Section:
    """Hardware, versions, data, and how the timings were taken."""
    return Section("Conditions", (replace(conditions.conditions(material.results), title=""),))
