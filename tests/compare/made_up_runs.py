"""Made-up runs whose times are known, written as run directories."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.comparison.run import Run
from bench.comparison.side import Side, read
from bench.journal import Journal
from bench.trial import Trial
from tests.report import made_up_sweep
from tests.report.made_up_sweep import FINISH, PEAKS, RUN, Event

SHAPE = {"height": 8, "width": 8, "channels": 1}
DATA = {**RUN["data"], "train": 640, "preprocessing": {**SHAPE, "mean": [0.5], "std": [0.25]}}


def trial(features: int, batch_size: int = 64, rate: float = 1e-3, **settings: Any) -> Trial:
    about = {"features": features, "batch_size": batch_size, "learning_rate": rate, **settings}
    return Trial.create({"epochs": 2, **about}, {"precision": settings.get("precision")})


NARROW = tuple(trial(8, rate=rate) for rate in (1e-3, 2e-3))
WIDE = tuple(trial(16, rate=rate) for rate in (1e-3, 2e-3))


def noisy(median: float, n: int = 40, spread: float = 0.01, seed: int = 0) -> list[float]:
    """Seconds of dispatches of ten iterations in lanes of two, whose middle is near `median` each."""
    around = np.random.default_rng(seed).standard_normal(n)
    return list(20 * median * np.exp(spread * (around - np.median(around))))


def program(
    id: str,  # noqa: A002
    trials: Sequence[Trial],
    seconds: Iterable[float],
    **changes: Any,
) -> list[Event]:
    """All that a journal says of a program that trains its trials to the end."""
    plan = {"lanes": 2, "microbatch": 64, "batch_sizes": [64], "lowerings": {"conv": "direct"}}
    told = made_up_sweep.program(id, [t.id for t in trials], **{**plan, **changes})
    lanes = (changes or plan).get("lanes", 2)
    dispatches = (5.0, *seconds)
    return [
        told,
        *(made_up_sweep.begin(t, id) for t in trials),
        *(
            made_up_sweep.train(id, s, warmup=number == 0, lanes=lanes)
            for number, s in enumerate(dispatches)
        ),
        *(
            event
            for t in trials
            for event in (made_up_sweep.epoch(t, 2, 0.5), made_up_sweep.end(t))
        ),
    ]


def sweep(*programs: list[Event], ended: bool = True, **changes: Any) -> list[Event]:
    """A journal; `changes` are of its first event."""
    run = {**RUN, "schema": 2, "before_s": 0.0, "data": DATA, **changes}
    end = [PEAKS, FINISH] if ended else []
    return [run, *itertools.chain.from_iterable(programs), *end]


def usual(factor: float = 1.0, seed: int = 0, **changes: Any) -> list[Event]:
    """Two programs; a narrow trial's iteration takes 1 ms, a wide one's 3 ms, both `factor` times as long."""
    narrow = program("n", NARROW, noisy(1e-3 * factor, seed=seed))
    return sweep(narrow, program("w", WIDE, noisy(3e-3 * factor, seed=seed + 1)), **changes)


def written(path: Path, events: Sequence[Event]) -> Path:
    """A run directory with nothing but a journal."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "journal.jsonl").unlink(missing_ok=True)
    with Journal(path / "journal.jsonl") as journal:
        journal.append(*events)
    return path


def run(path: Path, events: Sequence[Event]) -> Run:
    return read(written(path, events))


def sides(path: Path, *every: Sequence[Event]) -> list[Side]:
    """A side for each journal, of one run."""
    return [
        Side(name, (run(path / name, events),))
        for name, events in zip("ABCDEF", every, strict=False)
    ]
