"""The three ways to put trials together in programs, end to end: `--plan=cost`, `fewest` and `separate`.

    python -m benchmarks.plans --grid=digits --rounds=3
    python -m benchmarks.plans --grid=mnist --data_dir=DIR --rounds=3

Every run is a process of its own, from its start to its report, with nothing compiled before; rounds take
the three in turn. The planner's constants are measured once before, outside the timing.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

MODES = ("separate", "fewest", "cost")
COLUMNS = ("plan", "programs", "seconds", "spread", "compiling", "training", "evaluating", "best valid",
           "faster than separate", "slower than the best")  # fmt: skip


def run(mode: str, grid: str, data_dir: Path | None, costs: Path) -> dict[str, float]:
    """One sweep: its wall-clock seconds as a process, and what its report says."""
    with tempfile.TemporaryDirectory() as folder:
        cache, workdir = Path(folder, "cache"), Path(folder, "run")
        shutil.copytree(costs / "costs", cache / "costs")
        command = [sys.executable, "-m", "bench.main", f"--config=benchmarks/grids.py:{grid}",
                   f"--plan={mode}", f"--workdir={workdir}", f"--cache_dir={cache}"]  # fmt: skip
        command += [f"--data_dir={data_dir}"] if data_dir else []
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        report = json.loads((workdir / "run.json").read_text())
        totals = report["totals"]
        best = max(
            json.loads(line)["valid_accuracy"]
            for line in (workdir / "journal.jsonl").read_text().splitlines()
            if '"event":"epoch"' in line
        )
    return {
        "seconds": seconds,
        "programs": len(report["programs"]),
        **{name: totals[name] for name in ("compile_s", "train_s", "eval_s")},
        "best": best,
    }


def table(runs: dict[str, list[dict[str, float]]]) -> Table:
    """Medians over the rounds; ratios are taken within a round."""
    rounds = list(zip(*(runs[mode] for mode in MODES), strict=True))
    found = Table(*COLUMNS, title=f"{len(rounds)} rounds")
    for place, mode in enumerate(MODES):
        seconds = [entry["seconds"] for entry in runs[mode]]
        faster = [entries[0]["seconds"] / entries[place]["seconds"] for entries in rounds]
        extremes = [min(entries[0]["seconds"], entries[1]["seconds"]) for entries in rounds]
        slower = [s / best - 1 for s, best in zip(seconds, extremes, strict=True)]
        parts = (
            f"{median(r[n] for r in runs[mode]):.1f}" for n in ("compile_s", "train_s", "eval_s")
        )
        found.add_row(
            mode,
            f"{runs[mode][0]['programs']:.0f}",
            f"{median(seconds):.1f}",
            f"{min(seconds):.1f}–{max(seconds):.1f}",
            *parts,
            f"{runs[mode][0]['best']:.2%}",
            f"{median(faster):.2f} ({min(faster):.2f}–{max(faster):.2f})",
            f"{median(slower):+.0%} ({min(slower):+.0%} to {max(slower):+.0%})",
        )
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__)
    parser.add_argument("--grid", default="digits", choices=("digits", "mnist"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data_dir", type=Path)
    arguments = parser.parse_args()
    console = Console(width=150)
    runs: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as costs:
        measure = [sys.executable, "-m", "bench.measure", f"--cache_dir={costs}"]
        subprocess.run(measure, check=True)
        for number in range(arguments.rounds):
            for mode in MODES[number % 3 :] + MODES[: number % 3]:
                found = run(mode, arguments.grid, arguments.data_dir, Path(costs))
                runs[mode].append(found)
                console.print(f"round {number + 1}, {mode}: {found}", soft_wrap=True)
    console.print(table(runs))


if __name__ == "__main__":
    main()
