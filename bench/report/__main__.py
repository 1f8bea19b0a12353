"""Rewrites a run directory's views from its journal, and prints the tables."""

import argparse
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
from bench.report.views import told


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 where RUN cannot be read or written."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--top", type=int, default=10, help="trials to list (default: %(default)s)")
    parser.add_argument(
        "--log", default="", help=f"show the sweep there too: {', '.join(logs.LIBRARIES)}"
    )
    options = parser.parse_args(arguments)
    tools = [tool for tool in options.log.split(",") if tool]
    console = Console()
    try:
        logs.check(tools)
        if is_benchmark(options.run):
            measured = Measured.read(options.run)
            write_scaling(options.run, measured)
            show(console, measured)
            return 0
        results = Results.read(options.run)
        write_views(options.run, results)
        with told(options.run):
            final(console, results, options.top)
            logs.write(tools, options.run, results)
    except ConvoyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
