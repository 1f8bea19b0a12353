"""Sweeps end to end: from a process' start, with nothing compiled before, to the results of all trials."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.contenders import CONTENDERS
from benchmarks.crew import ROOT, Crew, CrewError, Layout
from benchmarks.rows import CONVOY, Row
from benchmarks.works import Sweep

Results = Mapping[str, float]  # trial's id → test accuracy


def run(
    name: str,
    work: Sweep,
    layouts: Sequence[Layout],
    rounds: int,
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> tuple[list[Row], dict[str, str]]:
    """The rows of a sweep, values in seconds; and who could not run, and why.

    Args:
        name: of the work.
        work: what is trained.
        layouts: who trains it, and in how many processes.
        rounds: how many.
        settings: `data_dir`; `peer_trials`, how many of the trials peers train (0: all).
        say: where progress is told.
    """
    count = len(work.trials(work.load(settings["data_dir"])))
    places = np.random.Generator(np.random.PCG64(0)).permutation(count).tolist()
    rows: dict[Layout, Row] = {}
    skipped: dict[str, str] = {}
    found: dict[Layout, Results] = {}
    for number in range(rounds):
        turn = number % len(layouts)
        for layout in (*layouts[turn:], *layouts[:turn]):
            if str(layout) in skipped:
                continue
            row = rows.setdefault(layout, Row(str(layout), processes=layout.processes))
            try:
                if layout.contender == CONVOY:
                    seconds, found[layout] = _convoy(name, row, settings)
                else:
                    seconds, found[layout] = _peer(name, layout, places, row, settings)
            except CrewError as error:
                skipped[str(layout)] = str(error)
                del rows[layout]
                say(f"{name}: {layout} cannot run: {error}")
                continue
            row.values.append(seconds)
            say(f"{name}: round {number + 1} of {rounds}, {layout}: {seconds:.1f} s")
    common = set.intersection(*(set(found[layout]) for layout in rows))
    for layout, row in rows.items():
        row.accuracy = fmean(found[layout][trial] for trial in common)
        row.about["trials"] = len(common)
    return list(rows.values()), skipped


def _convoy(name: str, row: Row, settings: Mapping[str, Any]) -> tuple[float, Results]:
    """One sweep as users run it, to the end of its process."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder, "run")
        command = [sys.executable, "-m", "bench.main", f"--config=benchmarks/works.py:{name}",
                   f"--workdir={workdir}"]  # fmt: skip
        command += [f"--data_dir={settings['data_dir']}"] if settings["data_dir"] else []
        start = time.perf_counter()
        # As on a new machine: no compiled programs, no times of lowerings, not even our kernels.
        environment = {**os.environ, "XDG_CACHE_HOME": f"{folder}/cache"}
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode not in (0, 3):  # 3: some trials diverged
            raise CrewError(done.stderr.strip().splitlines()[-1])
        report = json.loads((workdir / "run.json").read_text())
        with (workdir / "trials.csv").open(newline="") as file:
            results = {r["trial"]: float(r["test_accuracy"] or "nan") for r in csv.DictReader(file)}
    totals = report["totals"]
    row.note = f"compiling {totals['compile_s']:.0f} s, training {totals['train_s']:.0f} s"
    versions = {name: report["software"][name] for name in CONTENDERS[CONVOY].packages}
    row.about.update(hardware=report["hardware"], versions=versions)
    return seconds, results


def _peer(
    name: str,
    layout: Layout,
    places: Sequence[int],
    row: Row,
    settings: Mapping[str, Any],
) -> tuple[float, Results]:
    """All of its processes to their results; with fewer trials than `places`, what all would take."""
    count, asked = len(places), settings["peer_trials"] or len(places)
    some = places[: max(asked, 2 * layout.processes)]  # the first trial of a process says least
    shares = [sorted(some[process :: layout.processes]) for process in range(layout.processes)]
    job = {"data_dir": settings["data_dir"], "steps": 0}
    with Crew(layout, name, shares, job) as crew:
        answers = crew.answers()
        # By the clock that processes share; answers may have waited to be read.
        ends = [a["ended"] - w.start for a, w in zip(answers, crew.workers, strict=True)]
    row.about["versions"] = answers[0]["versions"]
    pieces = [answer["pieces"] for answer in answers]
    results = {
        t: r["test_accuracy"] for p in pieces for piece in p for t, r in piece["results"].items()
    }
    if len(results) < count:
        row.note = f"scaled from {len(results)} of {count} trials"
        share = count / layout.processes
        ends = [scaled(end, own, share) for end, own in zip(ends, pieces, strict=True)]
    return max(ends), results


def scaled(seconds: float, pieces: Sequence[Mapping[str, Any]], count: float) -> float:
    """What `count` trials would take: start-up and the first piece, which compiles, are counted once.

    Args:
        seconds: of the process that trained the pieces.
        pieces: `seconds` and `results` of each.
        count: how many trials it would have trained.
    """
    later = pieces[1:] or pieces
    each = sum(p["seconds"] for p in later) / sum(len(p["results"]) for p in later)
    return seconds + (count - sum(len(p["results"]) for p in pieces)) * each
