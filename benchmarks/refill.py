"""What a trial costs beside its training: many trials of one tiny step each.

    python -m benchmarks.refill --trials=10000

Overhead is all of a process's time but compiling, training, evaluating and measuring peaks: making the
trials, filling lanes, keeping the books, writing the report. What a process costs whatever it does is taken
off with a run of few trials. Memory is the largest that the process had.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FEW = 100


def run(trials: int, lanes: int) -> dict[str, float]:
    """A sweep of `trials` in this process."""
    from rich.console import Console

    from bench import peaks
    from bench.config import defaults, resolve
    from bench.options import Options
    from bench.report.stats import totals
    from bench.run import Run

    peaks.CPU = peaks.Sizes((64,), 1 << 16)  # else their arrays were the largest memory of all
    config: Any = defaults()
    config.data.limit = 101  # 64 of them to train on: one step
    config.trial.update(model="mlp", units=8, batch_size=64, epochs=1)
    config.space = {"learning_rate": "log_uniform(1e-4, 1e-1)"}
    config.search = {"method": "random", "trials": trials, "seed": 0}
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), cache_dir=None, lanes=lanes)
        results = Run(resolve(config), options, Console(quiet=True)).train()
    spent = totals(results)
    assert results.statuses["completed"] == trials
    return {
        "compile_s": spent.compile_s,
        "compute_s": spent.train_s + spent.eval_s,
        "peaks_s": spent.peaks_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def process(trials: int, lanes: int) -> dict[str, float]:
    """The same in a process of its own, with its seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.refill", f"--here={trials}", f"--lanes={lanes}"]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    wall_s = time.perf_counter() - start
    found["overhead_s"] = wall_s - sum(found[n] for n in ("compile_s", "compute_s", "peaks_s"))
    return {"trials": trials, "wall_s": wall_s, **found}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refill", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--lanes", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--here", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(run(arguments.here, arguments.lanes)))
        return
    for _ in range(arguments.rounds):
        few, many = (process(n, arguments.lanes) for n in (FEW, arguments.trials))
        for found in (few, many):
            print({name: round(value, 2) for name, value in found.items()})
        more = many["trials"] - few["trials"]
        overhead_ms = 1000 * (many["overhead_s"] - few["overhead_s"]) / more
        memory_mb = many["peak_mb"] - few["peak_mb"]
        print(f"{overhead_ms:.3f} ms a trial beside its compute; {memory_mb:+.0f} MB of memory")


if __name__ == "__main__":
    main()
