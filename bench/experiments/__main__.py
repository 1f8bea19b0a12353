"""Writes the page of experiments from run directories of the logs' configs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import ConvoyError
from bench.experiments.page import Page
from bench.experiments.runs import Run
from bench.journal import make, write_file
from bench.report.views import told


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 where a RUN cannot be read or the page not be written."""
    parser = argparse.ArgumentParser(prog="python -m bench.experiments", description=__doc__)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="run directories")
    parser.add_argument(
        "--out", type=Path, help="page.md, with pictures in page/; else it is printed"
    )
    options = parser.parse_args(arguments)
    try:
        runs = [Run.read(path) for path in options.runs]
        with told(options.runs[0]):
            page = Page(runs, options.out.stem if options.out else "pictures")
        if options.out is None:
            print(page.text, end="")
            return 0
        folder = options.out.with_suffix("")
        make(folder)
        for name, svg in page.pictures.items():
            write_file(folder / name, svg.encode())
        write_file(options.out, page.text.encode())
    except ConvoyError as error:
        print(f"convoy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
