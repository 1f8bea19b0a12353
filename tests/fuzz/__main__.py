"""Fuzzes the readers of files that nobody vouches for, and prints what came of it.

python -m tests.fuzz --inputs=50000
python -m tests.fuzz --target=npz --first=17 --inputs=1     # one input again
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fuzz.harness import MisreadError, attempt
from tests.fuzz.targets import TARGETS, Target

_SHOWN = 3  # failures of a target


def main() -> int:
    """Returns the exit code: 1 where anything but Convoy's own errors came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="in all (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number of each target's first")
    parser.add_argument("--target", choices=[t.name for t in TARGETS], help="only this one")
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    options = parser.parse_args()
    keep = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-failures"))
    targets = [t for t in TARGETS if options.target in (None, t.name)]
    table = Table("target", "inputs", "accepted", "refused", "other", "seconds")
    total: Counter[str] = Counter()
    for number, target in enumerate(targets):
        share = (options.inputs + number) // len(targets)
        start = time.perf_counter()
        counts = fuzz(target, range(options.first, options.first + share), keep)
        total += counts
        _row(table, target.name, counts, time.perf_counter() - start)
    _row(table, "all", total)
    Console().print(table)
    return 1 if total["other"] else 0


def fuzz(target: Target, numbers: range, keep: Path) -> Counter[str]:
    """How many inputs were accepted, refused, and neither; the first of those are told."""
    counts: Counter[str] = Counter()
    for number in numbers:
        try:
            counts[attempt(target, number, keep)] += 1
        except MisreadError as failure:
            counts["other"] += 1
            if counts["other"] <= _SHOWN:
                print(f"{failure}\n  kept in {keep}")
    return counts


def _row(table: Table, name: str, counts: Counter[str], seconds: float | None = None) -> None:
    kinds = (counts[kind] for kind in ("accepted", "refused", "other"))
    took = "" if seconds is None else f"{seconds:.1f}"
    table.add_row(name, str(counts.total()), *map(str, kinds), took)


if __name__ == "__main__":
    sys.exit(main())
