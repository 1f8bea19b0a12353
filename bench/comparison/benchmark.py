"""A hardware benchmark's run directory as a `Run`. Its keys are places, of training and of evaluation."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.comparison.run import Run, Unit, Work, measured, positive, samples, texts
from bench.points import KINDS, Measured, Point
from bench.record import SCHEMA

TOLD = {"train": "training", "evaluate": "evaluation"}


def of_benchmark(path: Path, found: Measured) -> Run:
    """What can be compared of a hardware benchmark, finished or not.

    Raises:
        ArithmeticError, AttributeError, KeyError, TypeError, ValueError: a journal made by hand.
    """
    start = found.starts[-1]
    units = [_unit(point, kind) for point in found.points.values() for kind in KINDS]
    return Run(
        path=path,
        sweep=False,
        started=start.get("time"),
        ended=str(found.finished.get("reason")) if found.finished else None,
        conditions=_conditions(start),
        pictures=(start["benchmark"]["suite"], None),
        bytes_per_s=None,
        units=tuple(units),
        untimed=(),
        work={key: Work(1, 1.0, 1.0) for unit in units for key in unit.shares},
    )


def _unit(point: Point, kind: str) -> Unit:
    lanes = "1 lane" if point.lanes == 1 else f"{point.lanes:,} lanes"
    figures = {
        "examples/s": measured(point.examples_per_s(kind)),
        "compile": measured(point.compile_s) if kind == "train" else None,
        "of peak": None,
        "memory": measured(point.peak_bytes) if kind == "train" else None,
        "J/example": measured(point.joules_per_example(kind)),
    }
    return Unit(
        name=f"{point.entry}, batch {point.batch:,}, {lanes}: {TOLD[kind]}",
        seconds=samples(
            np.array(point.seconds[kind]) / positive(point.steps) / positive(point.lanes)
        ),
        iterations=1.0,
        shares={(*point.place, kind): 1.0},
        how={"devices": str(point.devices), "strategy": str(point.strategy)},
        figures=figures,
    )


def _conditions(start: dict[str, Any]) -> dict[str, str]:
    hardware = {k: v for k, v in start.get("hardware", {}).items() if k != "memory_bytes"}
    told = {name: start.get(name) for name in ("precision", "strategy", "energy")}
    told["suite"] = start["benchmark"]["suite"]
    told["seconds given"] = start["benchmark"].get("seconds")
    found = texts({"schema": start.get("schema", SCHEMA)}, hardware, start.get("software", {}))
    return {**found, **texts(told)}
