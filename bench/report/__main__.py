"""Rewrites a run directory's views from its journal, and prints the tables."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import logs
from bench.errors import ConvoyError
from bench.points import Measured, is_benchmark
from bench.record import Results
from bench.report import final, write_views
from bench.report.scaling import show
from bench.report.scaling_views import write_scaling
from bench.report.serve import PORT, Pages, Server, orphaned
from bench.report.views import told


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 where RUN cannot be read or written."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--top", type=int, default=10, help="trials to list (default: %(default)s)")
    parser.add_argument(
        "--data_dir",
        help="where data sets lie, for the confusion matrix: mnist/, fashion-mnist/, …",
    )
    parser.add_argument(
        "--serve", metavar="PORT", type=int, nargs="?", const=PORT,
        help="show the report on a page of this machine that follows the run, until Ctrl-C",
    )  # fmt: skip
    parser.add_argument("--orphaned", action="store_true", help=argparse.SUPPRESS)  # see --live
    parser.add_argument(
        "--log", default="", help=f"show the sweep there too: {', '.join(logs.LIBRARIES)}"
    )
    options = parser.parse_args(arguments)
    tools = [tool for tool in options.log.split(",") if tool]
    console = Console()
    try:
        logs.check(tools)
        if options.serve is not None:
            _serve(options.run, options.data_dir, options.serve, options.orphaned)
            return 0
        if is_benchmark(options.run):
            measured = Measured.read(options.run)
            write_scaling(options.run, measured)
            show(console, measured)
            return 0
        results = Results.read(options.run)
        write_views(options.run, results, data_dir=options.data_dir)
        with told(options.run):
            final(console, results, options.top)
            logs.write(tools, options.run, results)
    except ConvoyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _serve(run: Path, data_dir: str | None, port: int, until_orphaned: bool) -> None:
    """Until somebody interrupts it, or the process that started it has ended."""
    if until_orphaned:
        os.nice(10)  # the sweep comes first
    with Server(Pages(run, data_dir), port) as server, contextlib.suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        server.serve(orphaned() if until_orphaned else lambda: False)


if __name__ == "__main__":
    sys.exit(main())
