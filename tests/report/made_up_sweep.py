"""A made-up sweep, as the events of a journal. Numbers are simple enough to check by hand."""

import functools
import itertools
import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

from bench.record import METRICS
from bench.trial import Trial

Event = dict[str, Any]

RUN: Event = {
    "event": "run",
    "schema": 1,
    "time": "2026-01-02T03:04:05+00:00",
    "hardware": {
        "cpu": "Example CPU @ 2.70GHz",
        "cores": 2,
        "memory_bytes": 8 * 2**30,
        "platform": "cpu",
        "devices": 2,
        "device_kind": "cpu",
    },
    "software": {
        "python": "3.11.9",
        "jax": "0.10.2",
        "flax": "0.12.0",
        "optax": "0.2.6",
        "git_commit": None,
        "xla_flags": "--xla_force_host_platform_device_count=2",
        "matmul_precision": "default",
        "precision": "float32",
    },
    "data": {
        "name": "digits",
        "fingerprint": "0123abcd",
        "train": 1150,
        "valid": 287,
        "test": 360,
        "classes": 10,
        "class_names": [str(n) for n in range(10)],
        "licence": "CC BY 4.0",
    },
    "axes": ["features", "optimizer", "learning_rate"],
    "planned": 48,
}
PEAKS: Event = {
    "event": "peaks",
    "flops_per_s": 400e9,
    "bytes_per_s": 20e9,
    "precision": "float32",
    "n": 4,
    "seconds": 0.75,
}
FINISH: Event = {
    "event": "finish",
    "reason": "completed",
    "wall_s": 360.0,
    "compile_s": 4.5,
    "train_s": 300.0,
    "eval_s": 6.0,
    "data_s": 0.25,
}


def program(id: str, trials: Iterable[str] = (), **changes: Any) -> Event:  # noqa: A002
    plan = {
        "id": id,
        "padded": False,
        "microbatch": 64,
        "batch_sizes": [64],
        "augment": False,
        "optimizers": ["adam", "sgd"],
        "trials": list(trials),
        "lanes": 16,
        "steps": 18,
        "strategy": "map",
        "parameters": 12_345,
        "flops_per_example": 1_000_000,
        "compile_s": 2.0,
        "train_s": 12.0,
        "waste": 0.05,
    }
    return {"event": "program", "plan": {**plan, **changes}, "compile_s": 1.5, "peak_bytes": None}


def train(id: str, seconds: float, warmup: bool = False, **changes: Any) -> Event:  # noqa: A002
    flops = 9_000 * 3 * 1_000_000
    counts = {"iterations": 10, "lanes": 16, "examples": 9_000}
    return {
        "event": "train",
        "program": id,
        "seconds": seconds,
        "input_s": 0.5,
        "warmup": warmup,
        "flops": flops,
        "slot_flops": flops * 10 // 9,
        **counts,
        **changes,
    }


def begin(trial: Trial, id: str) -> Event:  # noqa: A002
    return {"event": "trial", **trial.to_json(), "program": id, "parameters": 12_345}


def epoch(trial: Trial, number: int, accuracy: float, **changes: Any) -> Event:
    losses = {name: 1 - accuracy for name in METRICS if name.endswith("loss")}
    metrics = {name: losses.get(name, accuracy) for name in METRICS}
    position = {"trial": trial.id, "epoch": number, "step": 18 * number}
    return {"event": "epoch", **position, **metrics, "collapsed": False, **changes}


def failed(trial: Trial, error: str) -> list[Event]:
    """A trial that no device has room for, as it is told."""
    return [begin(trial, "p"), {**end(trial, "failed", error=error), "seconds": 0.0}]


def end(trial: Trial, status: str = "completed", **more: Any) -> Event:
    return {"event": "end", "trial": trial.id, "status": status, "seconds": 6.25, **more}


@functools.cache
def sweep() -> list[Event]:
    """48 trials in three programs: 45 complete, one diverges, one is pruned, one still trains."""
    axes = itertools.product(
        (8, 16, 32), ("adam", "sgd"), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 0.3)
    )
    trials = [
        Trial.create({"features": f, "optimizer": o, "learning_rate": r, "epochs": 2}, {})
        for f, o, r in axes
    ]
    events = [RUN]
    for start in (0, 16, 32):
        members = trials[start : start + 16]
        id = f"{start:08x}"  # noqa: A001
        events.append(program(id, [t.id for t in members]))
        events += [begin(trial, id) for trial in members]
        events += [train(id, 9.0, warmup=True), train(id, 0.25), train(id, 0.35), train(id, 0.45)]
        events.append({"event": "evaluate", "program": id, "seconds": 2.0})
        events += [epoch(t, 1, 0.5) for t in members]
    for i, trial in enumerate(trials):
        if i == 7:
            events.append(end(trial, "diverged", error="the loss of step 30 is not a number"))
        elif i == 8:
            events.append(end(trial, "pruned"))
        elif i != 9:
            accuracy = 0.9 + round(90 * math.sin(i) ** 2) / 1000
            events += [epoch(trial, 2, accuracy, collapsed=i == 10), end(trial)]
    return events


def many(count: int) -> Iterator[Event]:
    """As many trials, of drawn settings, whose accuracy falls off on both sides of a learning rate."""
    draw = random.Random(0)
    yield {**RUN, "axes": ["features", "optimizer", "learning_rate"]}
    yield program("p")
    for number in range(count):
        rate = 10 ** draw.uniform(-4, -0.5)
        settings = {"features": draw.choice((8, 16, 32)), "learning_rate": rate, "seed": number}
        trial = Trial.create(
            {**settings, "optimizer": draw.choice(("adam", "sgd")), "epochs": 3}, {}
        )
        best = 0.98 - 0.05 * (math.log10(rate) + 2.5) ** 2 - 0.05 * draw.random()
        yield begin(trial, "p")
        for place in (1, 2, 3):
            yield epoch(trial, place, best * place / 3)
        yield {**end(trial), "seconds": draw.uniform(1, 30)}
    yield from (train("p", 0.3), PEAKS, FINISH)
