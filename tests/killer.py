"""A process that runs the command line and gets a signal at a moment that is chosen, not hit by luck.

    python -m tests.killer     a job, a JSON object, a line of its input; an answer a line of its output

Imports take seconds, so every job is a fork of one process that has them behind it; no job has touched a
device before. A job is `{"flags": […], "said": path, "moments": […]}` and its answer the process's id, or
`{"wait": pid, "seconds": most}` and its answer how that process ended.
"""

import itertools
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow.parquet
import sklearn.datasets

from bench import checkpoint_files, factory, journal, keeper, peaks, plan, pool
from bench import main as command
from bench.directory import RunDirectory
from bench.journal import Journal
from bench.lanes import Lanes
from bench.sweep import Sweep

# What may be hit: where a function is, its name, and, if files are written by it, which.
PLACES = {
    "start": (RunDirectory, "__enter__", ""),
    "begin": (RunDirectory, "begin", ""),
    "plan": (Path, "write_bytes", ".plan.json.*"),
    "compile": (Lanes, "compile", ""),
    "open": (Lanes, "open", ""),
    "fill": (Lanes, "fill", ""),
    "train": (Lanes, "train", ""),
    "evaluate": (Lanes, "evaluate", ""),
    "journal": (Journal, "append", ""),
    "cut": (Journal, "cut", ""),
    "parameters": (Path, "write_bytes", ".*.npz.*"),
    "best": (Path, "replace", ".best.npz.*"),
    "pause": (Sweep, "pause", ""),
    "arrays": (checkpoint_files, "commit", ""),
    "about": (Path, "write_bytes", "about.json"),
    "manifest": (Path, "write_bytes", ".manifest.json"),
    "whole": (Path, "replace", ".manifest.json"),
    "delete": (shutil, "rmtree", "0*"),
    "peaks": (peaks, "measure", ""),
    "report": (RunDirectory, "write_views", ""),
    "trials.csv": (Path, "write_bytes", ".trials.csv.*"),
    "curves.parquet": (Path, "write_bytes", ".curves.parquet.*"),
    "report.md": (Path, "replace", ".report.md.*"),
}
# What the command line imports late.
LOADED = (factory, keeper, pool, sklearn.datasets, pyarrow.parquet)


@dataclass(frozen=True)
class Moment:
    """When a process gets a signal.

    Attributes:
        place: of `PLACES`.
        how: "before" or "after" the call, "half" way through what it writes, "during" it: `delay_s` on.
        call: which call of it, from 1.
        name: of the signal.
        hangs: the call does not return, as if it took for ever.
    """

    place: str
    how: str = "before"
    call: int = 1
    name: str = "SIGKILL"
    delay_s: float = 0.0
    hangs: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.how} {self.place} {self.call}"

    def meet(self, number: int, call: Callable, *given: Any, **named: Any) -> Any:
        """Takes the place of a call, the `number`-th."""
        if number != self.call:
            return call(*given, **named)
        if self.how == "half":
            self._write_half(call, *given)
        elif self.how == "during":
            threading.Timer(self.delay_s, self._signal).start()
        if self.how in ("after", "during"):
            call(*given, **named)
        self._signal()
        if self.hangs:
            time.sleep(3600)
        return call(*given, **named)

    def _write_half(self, call: Callable, to: Any, *content: Any) -> None:
        if isinstance(to, Path):
            call(to, content[0][: len(content[0]) // 2])
        else:
            lines = b"".join(map(journal._line, content))
            os.write(to._file.fileno(), lines[: len(lines) // 2])

    def _signal(self) -> None:
        number = signal.Signals[self.name]
        os.kill(os.getpid(), number)
        if number == signal.SIGKILL:  # it may be on its way yet
            time.sleep(3600)


def watch(place: str, meet: Callable) -> None:
    """Has `meet(number, call, …)` called in place of each call."""
    owner, name, pattern = PLACES[place]
    call, numbers = getattr(owner, name), itertools.count(1)

    def met(*given: Any, **named: Any) -> Any:
        if pattern and not fnmatch(Path(given[0]).name, pattern):
            return call(*given, **named)
        return meet(next(numbers), call, *given, **named)

    setattr(owner, name, met)


def count_calls() -> Counter[str]:
    """How often each place has been met, from now on."""
    counts: Counter[str] = Counter()
    for place in PLACES:

        def meet(number: int, call: Callable, *given: Any, place: str = place, **named: Any) -> Any:
            counts[place] = number
            return call(*given, **named)

        watch(place, meet)
    return counts


def train(flags: Iterable[str], said: str, moments: Iterable[dict[str, Any]], counts: str) -> int:
    """The command line in this process; returns its exit code.

    Args:
        flags: of it.
        said: file for what it says; its errors go to the same with `.err`.
        moments: see `Moment`.
        counts: file that is told how often each place was met; "" for none.
    """
    for number, path in ((1, said), (2, f"{said}.err")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for moment in moments:
        watch(moment["place"], Moment(**moment).meet)
    met = count_calls() if counts else {}
    sys.argv = ["bench.main", *flags]
    code = command.main()
    if counts:
        Path(counts).write_text(json.dumps(met))
    return code


def ended(pid: int, seconds: float) -> int | str:
    """The exit code of a process, or the signal that ended it, negative; "stopped"; or "hung", and killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if found:
            return "stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


def main() -> int:
    """Does jobs until there are no more."""
    plan._dispatch_steps = lambda *_: 2  # so that there are many dispatches to hit
    peaks.CPU, peaks.DISPATCH_S = peaks.Sizes((16,), 1 << 12), 1e-4
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            answer = ended(job["wait"], job["seconds"])
        elif not (answer := os.fork()):
            return train(**job)
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
