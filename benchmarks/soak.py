"""Ten thousand tiny trials under trouble, and whether the books are right afterwards.

    python -m benchmarks.soak --trials=10000 --minutes=7

For some minutes every process of a sweep gets into trouble at a random time: it is killed, terminated, or the
system refuses it memory; and beside some of them another process takes memory. Some trials diverge. The
command is started again until the sweep is done, and then held against one without trouble: what is recorded,
files, memory. The exit code is 1 if anything is wrong.
"""

import argparse
import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from bench.journal import read_journal
from benchmarks.squeezed import DIVERGES, LANES

HANGS_S = 30.0  # without a word in the journal
FLAT_MB = 100.0  # by which memory may grow: the books of ten thousand trials
START_MB = 0.25  # of a process's start in the journal: its programs name their trials
SIBLING = "import sys, time; taken = bytearray(int(sys.argv[1])); time.sleep(600)"
SIBLING_BYTES = 2_000_000_000
LEAST_LANES = 8  # each squeeze may halve them


@dataclass
class Process:
    """One process of a sweep.

    Attributes:
        trouble: "killed", "terminated", "squeezed" or "none".
        code: its exit code, or the number of the signal that ended it, negative.
        resident: (seconds, bytes of memory, bytes of the journal) as it went on.
        said: what it said on stderr.
    """

    trouble: str
    code: int = 0
    resident: list[tuple[float, int, int]] = field(default_factory=list)
    said: str = ""

    @property
    def peak_mb(self) -> float:
        return max((size for _, size, _ in self.resident), default=0) / 1e6

    @property
    def end(self) -> str:
        """How it ended, for the table."""
        if self.code == 1:
            return "error: " + (self.said.strip().splitlines() or [""])[-1].partition(":")[0]
        return signal.Signals(-self.code).name if self.code < 0 else f"exit code {self.code}"


class Soak:
    """A sweep and its troubles.

    Args:
        folder: for run directories and the cache.
        trials, epochs: of the sweep.
        rng: draws troubles.
    """

    def __init__(self, folder: Path, trials: int, epochs: int, rng: random.Random):
        self.folder, self.trials, self.epochs, self.rng = folder, trials, epochs, rng

    def troubled(self, name: str, minutes: float) -> Iterator[Process]:
        """The processes that a run took, for so long with trouble."""
        end = time.monotonic() + 60 * minutes
        while True:
            calm = time.monotonic() > end
            process = self.calm(name) if calm else self._in_trouble(name)
            yield process
            if process.code == 0 or (calm and process.code):
                return

    def calm(self, name: str) -> Process:
        """A process of a run that nobody troubles."""
        return self._watched(name, Process("none"), math.inf, [])

    def _in_trouble(self, name: str) -> Process:
        kinds = ["killed"] * 5 + ["terminated"] + ["squeezed"] * 3 * self._may_shrink(name)
        found, squeeze = Process(self.rng.choice(kinds)), []
        life_s = math.exp(self.rng.uniform(math.log(0.5), math.log(15)))
        if found.trouble == "squeezed":
            squeeze = [self.rng.uniform(0, 3), self.rng.uniform(0, 40), self.rng.uniform(0.2, 2)]
            life_s += 15
        sibling = None
        if self.rng.random() < 0.25:
            sibling = subprocess.Popen([sys.executable, "-c", SIBLING, str(SIBLING_BYTES)])
        try:
            return self._watched(name, found, life_s, squeeze)
        finally:
            if sibling:
                sibling.kill()
                sibling.wait()

    def _may_shrink(self, name: str) -> bool:
        plan = self.folder / name / "plan.json"
        programs = json.loads(plan.read_bytes())["programs"] if plan.exists() else []
        lanes = [(program["decided"] or {}).get("lanes", LANES) for program in programs]
        return min(lanes, default=LANES) >= LEAST_LANES

    def _watched(self, name: str, found: Process, life_s: float, squeeze: list[float]) -> Process:
        """Starts a process, notes its memory, and ends it when its time is up."""
        workdir, said = self.folder / name, self.folder / "stderr"
        job = {"workdir": str(workdir), "cache": str(self.folder / "cache"), "squeeze": squeeze,
               "trials": self.trials, "epochs": self.epochs}  # fmt: skip
        # Large arrays are asked of the system each time, not taken from what was given back before.
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"} if squeeze else None
        command = [sys.executable, "-m", "benchmarks.squeezed", json.dumps(job)]
        began = heard = time.monotonic()
        with said.open("wb") as errors:
            process = subprocess.Popen(command, env=environment, stderr=errors)
        while process.poll() is None:
            now, recorded = time.monotonic(), _size(workdir / "journal.jsonl")
            found.resident.append((now - began, _resident(process.pid), recorded))
            if len(found.resident) > 1 and recorded != found.resident[-2][2]:
                heard = now
            if now - heard > HANGS_S:
                found.trouble += ", hung"
                process.kill()
            elif now - began > life_s:
                found.trouble += ", killed" if found.trouble == "squeezed" else ""
                process.send_signal(
                    signal.SIGTERM if found.trouble == "terminated" else signal.SIGKILL
                )
                life_s = math.inf
            time.sleep(0.05)
        found.code, found.said = process.returncode, said.read_text(errors="replace")
        return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _resident(pid: int) -> int:
    """Bytes of memory of a process; 0 once it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Books:
    """What a run directory holds, timings aside."""

    ends: Counter[str]
    events: Counter[str]
    rows: dict[str, dict[str, str]]
    curves: list[dict[str, Any]]
    best: dict[str, bytes]
    files: set[str]
    checkpoints: int
    journal_bytes: int

    @classmethod
    def of(cls, workdir: Path) -> "Books":
        """Reads them."""
        events = [
            (event["event"], event["trial"], event.get("status"))
            for event in read_journal(workdir / "journal.jsonl")
            if event["event"] in ("trial", "epoch", "end")
        ]
        with (workdir / "trials.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        with np.load(workdir / "best.npz", allow_pickle=False) as arrays:
            best = {name: arrays[name].tobytes() for name in arrays.files}
        kept = workdir / "checkpoints"
        files = {str(p.relative_to(workdir)) for p in workdir.rglob("*") if kept not in p.parents}
        return cls(
            Counter(trial for kind, trial, status in events if status not in (None, "paused")),
            Counter(kind for kind, _, _ in events),
            {row["trial"]: {k: v for k, v in row.items() if k != "seconds"} for row in rows},
            pq.read_table(workdir / "curves.parquet").to_pylist(),
            best,
            files,
            len(list(kept.iterdir())),
            _size(workdir / "journal.jsonl"),
        )


def checks(
    soaked: Books, calm: Books, processes: list[Process], alone: Process, trials: int
) -> list[tuple[str, Any, Any, bool]]:
    """What is asked of the books: (what, found, wanted, whether it is right)."""
    status = {name: row["status"] for name, row in soaked.rows.items()}
    wild = {n for n, row in soaked.rows.items() if float(row["learning_rate"]) == DIVERGES}
    diverged = {name for name, kind in status.items() if kind == "diverged"}
    other = sum(1 for kind in status.values() if kind not in ("completed", "diverged"))
    differ = sum(calm.rows.get(name) != row for name, row in soaked.rows.items())
    repeated = sum(n != 1 for n in soaked.ends.values())
    again = soaked.events.total() - calm.events.total()  # killed before the first checkpoint
    journal_mb = (soaked.journal_bytes - calm.journal_bytes) / 1e6
    highest_mb = max(process.peak_mb for process in processes)
    equal = [
        ("trials that ended", len(soaked.ends), trials),
        ("trials that ended more than once", repeated, 0),
        ("rows of trials.csv", len(soaked.rows), trials),
        ("trials diverged", len(diverged), len(wild)),
        ("of them, by another rate", len(diverged ^ wild), 0),
        ("neither completed nor diverged", other, 0),
        ("rows unlike those without trouble", differ, 0),
        ("curves as without trouble", soaked.curves == calm.curves, True),
        ("best.npz as without trouble", soaked.best == calm.best, True),
        ("files more or less", len(soaked.files ^ calm.files), 0),
    ]
    most = [
        ("checkpoints kept", soaked.checkpoints, 2),
        ("trials' events recorded again", again, calm.events.total() // 50),
        ("journal longer by, MB", journal_mb, START_MB * len(processes)),
        ("any process's memory over the calm one's, MB", highest_mb - alone.peak_mb, FLAT_MB),
        ("memory's growth within the calm one, MB", _growth_mb(alone), FLAT_MB),
    ]
    return [(what, found, wanted, found == wanted) for what, found, wanted in equal] + [
        (what, found, f"≤ {wanted:.4g}", found <= wanted) for what, found, wanted in most
    ]


def _growth_mb(process: Process) -> float:
    """From when a tenth of the journal was written to the end of training."""
    whole = process.resident[-1][2]
    while_training = [size for _, size, done in process.resident if whole / 10 <= done < whole]
    return (while_training[-1] - while_training[0]) / 1e6 if while_training else math.nan


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=7.0, help="of trouble, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the troubles")
    arguments = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soak = Soak(folder, arguments.trials, arguments.epochs, random.Random(arguments.seed))
        processes = []
        for process in soak.troubled("soaked", arguments.minutes):
            processes.append(process)
            print(f"{len(processes)}: {process.trouble}, {process.end}, {process.peak_mb:.0f} MB",
                  flush=True)  # fmt: skip
        if processes[-1].code:
            print(processes[-1].said, file=sys.stderr)
            return 1
        alone = soak.calm("calm")
        lanes = [p["decided"]["lanes"] for p in _programs(folder / "soaked")]
        found = checks(Books.of(folder / "soaked"), Books.of(folder / "calm"), processes, alone,
                       arguments.trials)  # fmt: skip
    ends = Counter((process.trouble, process.end) for process in processes)
    told = Table("trouble", "end", "processes", title=f"{len(processes)} processes, lanes {lanes}")
    for (trouble, end), count in sorted(ends.items()):
        told.add_row(trouble, end, str(count))
    console.print(told)
    books = Table("books", "found", "wanted", "", title=f"{arguments.trials:,} trials")
    for what, value, wanted, right in found:
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        books.add_row(what, shown, str(wanted), "" if right else "WRONG")
    console.print(books)
    return 0 if all(right for *_, right in found) else 1


def _programs(workdir: Path) -> list[dict[str, Any]]:
    return json.loads((workdir / "plan.json").read_bytes())["programs"]


if __name__ == "__main__":
    sys.exit(main())
