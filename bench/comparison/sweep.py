"""A sweep's run directory as a `Run`. Its keys are cells: layers, batch size, optimizer, augmentation."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.cells import cell
from bench.comparison.run import Key, Run, Unit, Work, measured, positive, samples, shared, texts
from bench.record import SCHEMA, Results, TrialRecord
from bench.report import stats
from bench.report.speed import Timing, counted, iterations_of_step, timings
from bench.trial import Trial

# The container may be given other memory every time; the rest are results.
_NO_CONDITIONS = ("memory_bytes", "peaks")
PHASES = {
    "wall time": "whole_s",
    "training": "train_s",
    "evaluating": "eval_s",
    "compiling": "compile_s",
    "tuning": "tune_s",
    "input": "input_s",
}


def of_sweep(path: Path, results: Results) -> Run:
    """What can be compared of a sweep, finished or not.

    Raises:
        ConfigError: settings that describe no network.
        ArithmeticError, AttributeError, KeyError, TypeError, ValueError: a journal made by hand.
    """
    run = stats.newest_run(results)
    data = run.get("data", {})
    keys = {name: _key(r.trial, data["classes"]) for name, r in results.trials.items()}
    shares = shared((keys[name], r.program) for name, r in results.trials.items())
    units = [_unit(t, results, data["train"], shares.get(t.program, {})) for t in timings(results)]
    return Run(
        path=path,
        sweep=True,
        started=run.get("time"),
        ended=str(results.finished.get("reason")) if results.finished else None,
        conditions=_conditions(run, units),
        pictures=(_shape(data), data.get("fingerprint")),
        bytes_per_s=measured((results.peaks or {}).get("bytes_per_s")),
        units=tuple(u for u in units if len(u.seconds) and u.shares),
        untimed=tuple(u.name for u in units if not len(u.seconds) or not u.shares),
        work=_work(keys, results, data),
        seconds=_seconds(results),
        trials=Counter(map(_settings, results.trials.values())),
    )


def _key(trial: Trial, classes: int) -> Key:
    own = cell(trial, classes)
    return own.layers, own.batch_size, own.family, own.augment


def _unit(timing: Timing, results: Results, examples: int, shares: Mapping[Key, float]) -> Unit:
    record = results.programs[timing.program]
    train, kept = record.train, counted(record.train)
    seconds, iterations, lanes = (train.column(n) for n in ("seconds", "iterations", "lanes"))
    how: dict[str, str | Mapping[str, str]] = {
        "lanes": str(timing.lanes),
        "strategy": str(timing.strategy),
        "batch sizes": ", ".join(map(str, timing.batch_sizes)),
        "microbatch": str(timing.microbatch),
        "padded": str(timing.padded),
        "lowerings": {site: str(v) for site, v in (record.plan.get("lowerings") or {}).items()},
    }
    figures = {
        "examples/s": measured(timing.examples_per_s),
        "compile": measured(timing.compile_s),
        "of peak": measured(timing.peak_fraction),
        "memory": measured(timing.peak_bytes),
        "J/example": None,
    }
    return Unit(
        name=timing.program,
        seconds=samples(seconds[kept] / iterations[kept] / lanes[kept]),
        iterations=positive(iterations_of_step(examples, timing.microbatch)),
        shares=shares,
        how=how,
        figures=figures,
    )


def _work(keys: Mapping[str, Key], results: Results, data: Mapping[str, Any]) -> dict[Key, Work]:
    members: defaultdict[Key, list[Trial]] = defaultdict(list)
    for name, key in keys.items():
        members[key].append(results.trials[name].trial)
    return {
        key: Work(
            trials=len(trials),
            epochs=positive(sum(trial["epochs"] for trial in trials)),
            steps=positive(math.ceil(data["train"] / trials[0]["batch_size"])),
        )
        for key, trials in members.items()
    }


def _conditions(run: Mapping[str, Any], units: list[Unit]) -> dict[str, str]:
    data = run.get("data", {})
    hardware = {k: v for k, v in run.get("hardware", {}).items() if k not in _NO_CONDITIONS}
    found = texts({"schema": run.get("schema", SCHEMA)}, hardware, run.get("software", {}))
    told = {
        "data set": data.get("name"),
        "data fingerprint": data.get("fingerprint"),
        "training examples": data.get("train"),
        "programs": len(units),
    }
    for name in ("lanes", "strategy", "batch sizes", "microbatch", "padded"):
        told[name] = _distinct(str(unit.how[name]) for unit in units)
    every = (unit.how["lowerings"] for unit in units)
    told["lowerings"] = _distinct(
        name for sites in every if isinstance(sites, dict) for name in sites.values()
    )
    return {**found, **texts(told)}


def _distinct(values: Iterable[str]) -> str | None:
    return "; ".join(sorted(set(values), key=lambda text: (len(text), text))) or None


def _shape(data: Mapping[str, Any]) -> tuple[Any, ...] | None:
    known = data.get("preprocessing")
    return known and tuple(known[name] for name in ("height", "width", "channels"))


def _seconds(results: Results) -> dict[str, float | None]:
    found = vars(stats.totals(results))
    return {name: measured(found[field]) for name, field in PHASES.items()}


def _settings(record: TrialRecord) -> str:
    return json.dumps([record.status, record.epochs, dict(record.trial.settings)], sort_keys=True)
