"""What checkpoints cost, and how soon a run that was killed trains again.

    python -m benchmarks.checkpoints --rounds=5

Cost: the same sweep with a checkpoint every few seconds and with none but the last, in turn, everything
compiled before. A checkpoint's cost is what the one takes longer, divided among its checkpoints: in seconds
of the sweep's loop, and in seconds of all cores, on which other work tells less. `separate` makes many
programs.
Resume: the sweep is killed while it trains, and the same command started again, over and over.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import spread

EVERY_S = 30.0  # the default of --checkpoint_every
NEVER_S = 1e9
PHASES = ("compile_s", "tune_s", "peaks_s", "data_s")  # no part of the loop


class Sweep:
    """A command, with a cache of its own.

    Args:
        folder: for the cache and for run directories.
        flags: of the command.
    """

    def __init__(self, folder: Path, *flags: str):
        self.folder, self.flags, self._runs = folder, flags, 0

    def workdir(self) -> Path:
        """A run directory that no other run has."""
        self._runs += 1
        return self.folder / f"run{self._runs}"

    def start(self, workdir: Path, every_s: float) -> subprocess.Popen:
        """The command's process, with a checkpoint every so many seconds."""
        command = [sys.executable, "-m", "bench.main", *self.flags, f"--workdir={workdir}",
                   f"--cache_dir={self.folder / 'cache'}", f"--checkpoint_every={every_s}"]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def whole(sweep: Sweep, every_s: float) -> dict[str, float]:
    """The sweep from its start to its end: seconds of its loop and of the cores, and its checkpoints."""
    workdir, before_s = sweep.workdir(), _cores_s()
    if code := sweep.start(workdir, every_s).wait():
        raise SystemExit(f"the sweep ended with exit code {code}")
    totals = json.loads((workdir / "run.json").read_text())["totals"]
    return {
        "loop_s": totals["wall_s"] - sum(totals[phase] for phase in PHASES),
        "cores_s": _cores_s() - before_s,
        "checkpoints": max(int(path.name) for path in (workdir / "checkpoints").iterdir()),
    }


def _cores_s() -> float:
    """Seconds that processes which have ended kept cores busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cost(sweep: Sweep, every_s: float, rounds: int, name: str) -> None:
    """Prints what a checkpoint costs."""
    whole(sweep, NEVER_S)  # fills the cache
    found: dict[str, list[float]] = {"loop_s": [], "cores_s": []}
    for number in range(rounds):
        turn = (every_s, NEVER_S) if number % 2 else (NEVER_S, every_s)
        by_turn = {seconds: whole(sweep, seconds) for seconds in turn}
        often, never = by_turn[every_s], by_turn[NEVER_S]
        more = often["checkpoints"] - never["checkpoints"]
        for kind, costs in found.items():
            costs.append((often[kind] - never[kind]) / more)
        print(
            f"{name}, round {number + 1}: {often['loop_s']:.1f} s with {more:.0f} checkpoints, "
            f"{never['loop_s']:.1f} s without; of the cores {often['cores_s']:.1f} s and "
            f"{never['cores_s']:.1f} s; {_load()}",
            flush=True,
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    loop_ms = [1000 * seconds for seconds in found["loop_s"]]
    busy_ms = [1000 * seconds / cores for seconds in found["cores_s"]]
    for words, costs in (("of the loop", loop_ms), (f"of all {cores} cores", busy_ms)):
        share = median(costs) / 1000 / EVERY_S
        print(
            f"{name}: a checkpoint costs {spread(costs, '.0f')} ms {words}: "
            f"{share:.2%} of the time, every {EVERY_S:.0f} s"
        )


def resumes(sweep: Sweep, every_s: float, rounds: int) -> None:
    """Prints how soon a killed run has recorded its first training."""
    workdir, found = sweep.workdir(), []
    while len(found) <= rounds:  # the first one begins: it is not counted
        began, process = time.perf_counter(), sweep.start(workdir, every_s)
        seconds = _first_training_s(workdir, process, began)
        newest = _newest(workdir)
        while process.poll() is None and _newest(workdir) == newest:
            time.sleep(0.02)
        over = process.poll() is not None
        process.kill()  # a moment after a checkpoint, in training
        process.wait()
        if seconds is not None:
            found.append(seconds)
            print(f"start {len(found)}: training after {seconds:.1f} s; {_load()}", flush=True)
        if over:
            workdir = sweep.workdir()
            _until_checkpoint(sweep, workdir, every_s)
    print(f"resume: training is recorded {spread(found[1:], '.1f')} s after the process's start")


def _until_checkpoint(sweep: Sweep, workdir: Path, every_s: float) -> None:
    """A new run, killed once it has a checkpoint."""
    with sweep.start(workdir, every_s) as process:
        while process.poll() is None and not _newest(workdir):
            time.sleep(0.02)
        process.kill()


def _first_training_s(workdir: Path, process: subprocess.Popen, began: float) -> float | None:
    """Seconds until this process has recorded a training dispatch; None if it ended without."""
    journal = workdir / "journal.jsonl"
    starts = _count(journal, b'"event":"run"')
    while process.poll() is None:
        content = journal.read_bytes() if journal.exists() else b""
        mine = content[content.rfind(b'"event":"run"') :]
        if content.count(b'"event":"run"') > starts and b'"event":"train"' in mine:
            return time.perf_counter() - began
        # What a checkpoint has not seen is cut off first.
        starts = min(starts, content.count(b'"event":"run"'))
        time.sleep(0.02)
    return None


def _count(path: Path, what: bytes) -> int:
    return path.read_bytes().count(what) if path.exists() else 0


def _newest(workdir: Path) -> str:
    """The newest whole checkpoint."""
    return max((p.parent.name for p in workdir.glob("checkpoints/*/manifest.json")), default="")


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints", description=__doc__)
    parser.add_argument("--config", default="configs/sweep.py")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between checkpoints")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plans", default="cost,separate", help="of which the cost is measured")
    arguments = parser.parse_args()
    flags: Any = (f"--config={arguments.config}", f"--config.trial.epochs={arguments.epochs}")
    with tempfile.TemporaryDirectory() as folder:
        for plan in filter(None, arguments.plans.split(",")):
            sweep = Sweep(Path(folder, plan), *flags, f"--plan={plan}")
            cost(sweep, arguments.every, arguments.rounds, plan)
        resumes(Sweep(Path(folder, "cost"), *flags), arguments.every, arguments.rounds)


if __name__ == "__main__":
    main()
