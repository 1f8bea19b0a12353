"""Convoy beside Keras, Keras Tuner, PyTorch and plain Flax: the same work, in turn, as ratios.

    pip install -r requirements.txt -r requirements-peers.txt
    python -m benchmarks.peers --data_dir=DIR --out=peers.json
    python -m benchmarks.peers --works=small,digits48 --contenders=torch,flax-loop --rounds=3
    python -m benchmarks.peers --quick

Same data, order of examples, initial values and number of updates for all: test accuracies stand beside
the times, so that nobody wins by training less. Each peer runs in one process on all cores and, where that
may serve it, in a process of one thread for each core side by side. `benchmarks/works.py` has the work.
"""

import argparse
import json
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import host
from bench.errors import ConvoyError
from benchmarks import endtoend, steady
from benchmarks.contenders import CONTENDERS
from benchmarks.crew import CrewError, Layout
from benchmarks.rows import CONVOY, Row, table
from benchmarks.works import QUICK, SWEEPS, WORKS, Work, named

NOT_INSTALLED = "not installed: pip install -r requirements-peers.txt"


def layouts(
    names: Sequence[str], is_steady: bool, processes: Sequence[int]
) -> tuple[list[Layout], dict[str, str]]:
    """How the contenders run at a kind of work, Convoy first; and who is not there, and why."""
    found, skipped = [], {}
    for name in dict.fromkeys((CONVOY, *names)):
        entry = CONTENDERS[name]
        if not (entry.steady if is_steady else entry.sweeps):
            continue
        if entry.missing:
            skipped[name] = NOT_INSTALLED
            continue
        every = (1,) if entry.together else processes
        found += [Layout(name, count) for count in dict.fromkeys(every)]
    return found, skipped


def compare(
    name: str, options: argparse.Namespace, say: Callable[[str], None]
) -> tuple[list[Row], dict[str, str], str]:
    """A work's rows, who could not run and why, and the table of them. Raises ConvoyError without data."""
    work = named(name)
    settings = {
        "data_dir": options.data_dir and str(options.data_dir.resolve()),
        **{key: getattr(options, key) for key in ("steps", "lanes", "peer_trials")},
    }
    dataset = work.load(settings["data_dir"])  # what is missing is said before anything starts
    running, skipped = layouts(options.contenders, isinstance(work, Work), options.processes)
    if isinstance(work, Work):
        rows, failed = steady.run(name, work, running, options.rounds, settings, say)
        unit = "ms per step and trial"
        updates = (steady.WARM_UP + options.rounds) * (options.steps or work.steps)
        remark = (
            f"{_about(work)}; accuracy after {updates:,} updates on {len(dataset.test):,} images."
        )
    else:
        rows, failed = endtoend.run(name, work, running, options.rounds, settings, say)
        unit = "seconds"
        trained = rows[0].about["trials"]
        remark = (
            f"{len(work.trials(dataset))} trials on {len(dataset.train):,} images; mean accuracy of "
            f"{trained} of them on {len(dataset.test):,} images."
        )
    skipped |= failed
    if CONVOY in skipped:
        return rows, skipped, f"**{name}** Convoy did not run: {skipped[CONVOY]}"
    return rows, skipped, table(name, unit, rows, skipped, remark)


def _about(work: Work) -> str:
    """`mnist, stack, features 16, …`."""
    told = (v if k == "model" else f"{k.replace('_', ' ')} {v}" for k, v in work.settings.items())
    return ", ".join([work.dataset, *map(str, told)])


def conditions(rows: Sequence[Row]) -> str:
    """Date, machine and versions, as the contenders tell them."""
    versions, hardware = {"python": platform.python_version()}, {"cpu": "", "device_kind": ""}
    for row in rows:
        versions |= row.about.get("versions", {})
        hardware |= row.about.get("hardware", {})
    machine = f"{hardware['cpu']}, {host.cores()} cores, on {hardware['device_kind']}"
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return f"{datetime.now(UTC):%d %B %Y}; {machine}; {listed}."


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {name!r}: {', '.join(known)}")
        return names

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = [*WORKS, *SWEEPS]
    parser.add_argument("--works", type=_names([*known, *QUICK]), default=known)
    peers = [name for name in CONTENDERS if name != CONVOY]
    parser.add_argument("--contenders", type=_names(list(CONTENDERS)), default=peers)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data_dir", type=Path, help="where mnist/, fashion-mnist/ and gtsrb/ lie")
    parser.add_argument("--steps", type=int, default=0, help="updates of a round; 0: the work's")
    parser.add_argument("--lanes", type=int, default=0, help="trials at once; 0: the work's")
    parser.add_argument(
        "--peer_trials",
        type=int,
        default=0,
        help="of a sweep, train so many with each peer and scale the time; 0: all",
    )
    parser.add_argument(
        "--processes",
        type=lambda text: [int(count) for count in text.split(",")],
        default=[1, host.cores()],
        help="in how many each peer runs, in turn (default: 1 and one for each core)",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test, which needs no data")
    parser.add_argument("--out", type=Path, help="all that was measured, as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 where a work could not be compared."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of whoever ends the workers
    if options.quick:
        options.works, options.rounds, options.peer_trials = list(QUICK), 1, 2
        options.processes = [1]
    every: list[Row] = []
    tables, kept, failed = [], {}, False
    for name in options.works:
        try:
            rows, skipped, text = compare(name, options, lambda line: print(line, flush=True))
        except (ConvoyError, CrewError) as error:
            print(f"{name}: skipped: {error}", flush=True)
            failed = True
            continue
        failed |= CONVOY in skipped
        every += rows
        tables.append(text)
        kept[name] = {"rows": [asdict(row) for row in rows], "skipped": skipped}
        if options.out:
            head = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "rounds": options.rounds,
            }
            options.out.write_text(json.dumps({**head, "works": kept}, indent=1))
    print("\n" + "\n\n".join([conditions(every), *tables]))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
