"""One process's part of a hardware benchmark, from a checked config to a finished run directory."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bench import config as configs
from bench import energy, resume
from bench.errors import ConfigError
from bench.journal import Journal, write_file
from bench.lock import check_free, locked
from bench.options import Options
from bench.points import Measured
from bench.record import SCHEMA
from bench.report import scaling, units
from bench.report.scaling_views import write_scaling
from bench.schedule import Ask
from bench.suite import Benchmark


def run(benchmark: Benchmark, precision: str, options: Options, console: Console) -> Measured:
    """Measures what is missing in the run directory, writes and prints its report.

    Args:
        benchmark: what is measured.
        precision: "float32" or "float64".
        options: `workdir`, `devices` and `strategy` of them.
        console: where to say so.

    Raises:
        ConvoyError: anything that the user can mend.
    """
    how = {"precision": precision, "devices": options.devices, "strategy": options.strategy}
    saved = {"schema": SCHEMA, "benchmark": benchmark.to_json(), **how}
    workdir = options.workdir
    there = resume.saved_config(workdir)
    if there and (differing := configs.differences(there, saved)):
        raise ConfigError(
            f"{workdir} holds a run of another config ({'; '.join(differing[:5])}); use another --workdir"
        )
    known = (workdir / "journal.jsonl").exists()
    measured = Measured.read(workdir) if known else Measured()
    if measured.finished:
        console.print(f"{workdir} is finished; its report follows")
        with locked(workdir):
            write_scaling(workdir, measured)
        scaling.show(console, measured)
    else:
        check_free(workdir)
        measured = _measure(benchmark, precision, options, console, saved)
        scaling.show_tables(console, scaling.conclusions(measured))
    console.print(f"written to {workdir}: report.md, points.csv, run.json")
    return measured


def _measure(
    benchmark: Benchmark,
    precision: str,
    options: Options,
    console: Console,
    saved: Mapping[str, Any],
) -> Measured:
    started = time.perf_counter()
    # JAX takes seconds to import: whatever is wrong with a config is said before.
    from bench import fingerprint
    from bench.devices import prepare
    from bench.scaling import Scaling

    # Without the cache of compiled programs: reading one is not compiling it.
    devices = prepare(options.devices, 1, precision, None)
    meter = energy.meter(devices[0].platform, len(devices))
    with locked(options.workdir), Journal(options.workdir / "journal.jsonl") as journal:
        write_file(options.workdir / resume.CONFIG, json.dumps(saved, indent=1).encode())
        measured = Measured.read(options.workdir)
        start = {
            "event": "benchmark",
            **saved,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": fingerprint.hardware(devices),
            "software": fingerprint.software(precision),
            "energy": meter.source,
        }
        _same_machine(measured, start)
        journal.append(start)
        measured.add(start)
        console.print(
            f"{', '.join(benchmark.entries)}: up to {units.seconds(benchmark.seconds)}; "
            "leave the machine alone meanwhile"
        )
        loop = Scaling(benchmark, precision, options.strategy, devices, journal, measured, meter)

        def show(entry: str) -> None:
            scaling.show_tables(console, scaling.of_entry(measured, entry))

        try:
            with _status(console) as begun:
                loop.run(begun, show)
            wall_s = time.perf_counter() - started
            finish = {"event": "finish", "reason": "completed", "wall_s": wall_s}
            journal.append(finish)
            measured.add(finish)
        finally:
            write_scaling(options.workdir, measured)
    return measured


def _same_machine(measured: Measured, start: Mapping[str, Any]) -> None:
    """Refuses to go on where another machine, or another JAX, began."""

    def identity(start: Mapping[str, Any]) -> dict[str, Any]:
        # A container may be given other memory every time.
        hardware = {k: v for k, v in start["hardware"].items() if k != "memory_bytes"}
        return {**hardware, "jax": start["software"]["jax"]}

    for before in measured.starts:
        differing = configs.differences(identity(before), identity(start))
        if differing:
            raise ConfigError(
                f"the points there are of another machine ({'; '.join(differing[:3])}); "
                "use another --workdir"
            )


@contextmanager
def _status(console: Console) -> Iterator[Callable[[Ask], None]]:
    """On a terminal, one line that says what is being measured."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda ask: status.update(
            f"{ask.entry}: lanes: {ask.lanes:,}, batch size: {ask.batch:,}"
        )
