"""Made-up runs of the logs' configs: trials with the accuracies that a test wants."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.experiments.runs import Run
from bench.journal import Journal
from bench.record import METRICS, Results
from bench.trial import Trial

DATA = {
    "name": "made up", "fingerprint": "0", "train": 100, "valid": 20, "test": 1000, "classes": 10,
    "class_names": [str(n) for n in range(10)], "licence": "none",
    "preprocessing": {"height": 8, "width": 8, "channels": 1, "mean": [0.0], "std": [1.0]},
}  # fmt: skip
PLAN = {
    "id": "p", "padded": False, "microbatch": 32, "batch_sizes": [32], "trials": [], "lanes": 4,
    "strategy": "map", "parameters": 10, "compile_s": 1.0, "train_s": 1.0, "waste": 0.0,
}  # fmt: skip

Metrics = Callable[[Mapping[str, Any], int], Mapping[str, Any]]


def events(
    config: str, settings: Iterable[Mapping[str, Any]], metrics: Metrics, epochs: int = 1
) -> Iterable[dict[str, Any]]:
    """A finished run's: of a trial with settings s after epoch e, what `metrics(s, e)` says of it."""
    trials = [Trial.create({"batch_size": 32, "epochs": epochs, **s}, {}) for s in settings]
    axes = sorted({name for s in settings for name in s})
    software, hardware = {"jax": "0.10.2"}, {"devices": 2, "device_kind": "cpu", "cpu": "some"}
    yield {"event": "run", "schema": 2, "command": [f"--config=configs/{config}", "--data_dir=/secret"],
           "data": DATA, "axes": axes, "planned": len(trials), "software": software,
           "hardware": hardware, "before_s": 0.0}  # fmt: skip
    yield {"event": "program", "plan": PLAN, "compile_s": 1.0, "peak_bytes": None}
    for warmup, seconds in ((True, 9.0), (False, 0.4)):
        yield {"event": "train", "program": "p", "seconds": seconds, "iterations": 10, "lanes": 4,
               "examples": 1, "flops": 1.0, "slot_flops": 1.0, "warmup": warmup}  # fmt: skip
    for trial in trials:
        yield {"event": "trial", **trial.to_json(), "program": "p", "parameters": 10}
        for epoch in range(1, epochs + 1):
            told = dict(metrics(trial.settings, epoch))
            row = {"collapsed": False, **dict.fromkeys(METRICS, 0.5), **told}
            yield {"event": "epoch", "trial": trial.id, "epoch": epoch, "step": epoch, **row}
        yield {"event": "end", "trial": trial.id, "status": "completed", "seconds": 1.0}
    yield {"event": "finish", "reason": "completed", "wall_s": 75.0, "data_s": 0.5}


def run(config: str, *arguments: Any, **more: Any) -> dict[str, Run]:
    """A run in memory, by its config."""
    results = Results()
    for event in events(config, *arguments, **more):
        results.add(event)
    return {config: Run(Path("nowhere"), config, results)}


def write(path: Path, config: str, *arguments: Any, **more: Any) -> Path:
    """A run directory with a journal of them."""
    path.mkdir()
    with Journal(path / "journal.jsonl") as journal:
        journal.append(*events(config, *arguments, **more))
    return path


def accuracy(value: float, **more: Any) -> dict[str, Any]:
    """Of every split."""
    return {"test_accuracy": value, "valid_accuracy": value, **more}
