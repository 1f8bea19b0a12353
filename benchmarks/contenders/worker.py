"""A process that trains with one library, told by its parent what to do: JSON in, JSON out, a line each.

    python -m benchmarks.contenders.worker JOB

JOB is a JSON object: `contender`, `work`, `data_dir`, `steps`, `cores` (ids to run on) and `trials` (by their
places in the work's list). Of a steady work it first says {"ready": …}; then `epoch` gives
{"seconds": …} and `evaluate` the first trial's scores. A sweep it trains at once: {"pieces": …}. What goes
wrong is {"error": …}.
"""

import importlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from benchmarks.contenders import CONTENDERS, Entry
from benchmarks.works import Sweep, Work, named

# TensorFlow says less, and nobody takes an accelerator's memory before it is needed: all are there at once.
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


def chosen(entry: Entry, job: Mapping[str, Any], work: Work) -> tuple[Any, dict[str, Any]]:
    """The quickest variant, after one epoch that compiles and one that is timed, and what is said of it."""
    from benchmarks.contenders.contender import Data

    module = importlib.import_module(f"benchmarks.contenders.{entry.module}")
    trials = work.trials(max(job["trials"]) + 1)
    trials, data = [trials[place] for place in job["trials"]], Data(work.load(job["data_dir"]))
    best, quickest, told = None, math.inf, {}
    for variant in entry.variants:
        contender = module.CONTENDER(trials, data, **{**entry.options, **variant})
        contender.epoch()
        seconds = contender.epoch()
        if seconds < quickest:
            best, quickest, told = contender, seconds, variant
    assert best is not None
    about = {"variant": dict(told), "versions": _versions(entry), "parameters": best.parameters}
    return best, {**about, **best.about, "test_examples": len(data.dataset.test)}


def steady(entry: Entry, job: Mapping[str, Any], work: Work) -> Iterator[dict[str, Any]]:
    """Answers to the lines that come in."""
    contender, about = chosen(entry, job, work)
    yield {"ready": about}
    for line in sys.stdin:
        if line.strip() == "epoch":
            yield {"seconds": contender.epoch()}
        elif line.strip() == "evaluate":
            yield contender.evaluate()[0]


def sweep(entry: Entry, job: Mapping[str, Any], work: Sweep) -> Iterator[dict[str, Any]]:
    """The one answer: what was trained, in which seconds."""
    from benchmarks.contenders.contender import Data

    peer = importlib.import_module(f"benchmarks.contenders.{entry.module}").CONTENDER
    data = Data(work.load(job["data_dir"]))
    trials = work.trials(data.dataset)
    asked = {trials[place].id for place in job["trials"]}
    options = {**entry.options, **entry.variants[0]}
    groups = [g for g in peer.groups(trials, data, options) if any(t.id in asked for t in g)]
    pieces = list(peer.sweep(groups, data, options, time.perf_counter))
    answer = {"pieces": [asdict(piece) for piece in pieces], "versions": _versions(entry)}
    yield {**answer, "ended": time.time()}


def _versions(entry: Entry) -> dict[str, str]:
    modules = {name: sys.modules[name.replace("-", "_")] for name in entry.packages}
    return {name: module.__version__ for name, module in modules.items()}


def main() -> None:
    """The command line."""
    job = json.loads(sys.argv[1])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])  # before a library counts them
    # Libraries may print; what the parent reads is kept from them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work, entry = named(job["work"]), CONTENDERS[job["contender"]]
    os.environ.update(_ENVIRONMENT, **entry.environment, OMP_NUM_THREADS=str(len(job["cores"])))
    try:
        if isinstance(work, Work):
            found = steady(entry, job, replace(work, steps=job["steps"] or work.steps))
        else:
            found = sweep(entry, job, work)
        for answer in found:
            print(json.dumps(answer), file=answers, flush=True)
    except Exception as error:
        message = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        print(json.dumps({"error": message}), file=answers, flush=True)
        raise


if __name__ == "__main__":
    main()
