"""The processes that train: started, told what to do and waited for. See `benchmarks.contenders.worker`."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import host
from benchmarks.contenders import CONTENDERS, Entry

ROOT = Path(__file__).parents[1]


class CrewError(Exception):
    """A contender could not do its part; the message is one line."""


@dataclass(frozen=True)
class Layout:
    """A contender as it is run: in one process on all cores, or in one of one thread for each core."""

    contender: str
    processes: int = 1

    def __str__(self) -> str:
        return f"{self.contender} ×{self.processes}" if self.processes > 1 else self.contender

    @property
    def entry(self) -> Entry:
        return CONTENDERS[self.contender]

    def cores(self, process: int) -> list[int]:
        """Those that a process is held to."""
        every = list(range(host.cores()))
        if hasattr(os, "sched_getaffinity"):
            every = sorted(os.sched_getaffinity(0))
        return every if self.processes == 1 else every[process :: self.processes]


class Worker:
    """A process that trains, and the lines that go to it and come from it."""

    def __init__(self, job: Mapping[str, Any]):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self.name, self.start = job["contender"], time.time()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contenders.worker", json.dumps(job)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def tell(self, command: str) -> None:
        """Sends a command."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `answer` says what happened
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Waits for the answer. Raises CrewError where there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            last = self.errors.read().strip().splitlines()[-1:]
            raise CrewError(f"{self.name} ended with {self.process.wait()}: {''.join(last)}")
        answer = json.loads(line)
        if "error" in answer:
            raise CrewError(answer["error"])
        return answer

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            assert stream is not None
            stream.close()


class Crew:
    """The processes of a layout at one work, all of them started at once.

    Args:
        layout: whose.
        work: its name.
        trials: of each process, by their places in the work's list.
        settings: of their jobs: `data_dir`, `steps`.
    """

    def __init__(
        self,
        layout: Layout,
        work: str,
        trials: Sequence[Sequence[int]],
        settings: Mapping[str, Any],
    ):
        job = {"contender": layout.contender, "work": work, **settings}
        self.layout, self.trials = layout, trials
        self.workers = [
            Worker({**job, "cores": layout.cores(process), "trials": list(places)})
            for process, places in enumerate(trials)
        ]

    def ask(self, command: str) -> list[dict[str, Any]]:
        """What every process answers; they work side by side."""
        for worker in self.workers:
            worker.tell(command)
        return self.answers()

    def answers(self) -> list[dict[str, Any]]:
        """Waits for the next answer of each."""
        return [worker.answer() for worker in self.workers]

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.close()
