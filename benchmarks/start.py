"""How soon a sweep's first training is recorded after its process began: with nothing compiled, and again.

    python -m benchmarks.start --config=configs/sweep.py --starts=3

The journal has a training dispatch once the epoch that it ends is evaluated: the first step is before that.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def first_training_s(config: str, folder: Path, number: int) -> float:
    """Seconds from the process's start until its journal has a training dispatch."""
    workdir = folder / f"run{number}"
    command = [sys.executable, "-m", "bench.main", f"--config={config}", f"--workdir={workdir}"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    start, found = time.perf_counter(), None
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            journal = workdir / "journal.jsonl"
            if found is None and journal.exists() and '"event":"train"' in journal.read_text():
                found = time.perf_counter() - start
            time.sleep(0.01)
    if found is None:
        raise SystemExit(f"{' '.join(command)} trained nothing (exit code {process.returncode})")
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--config", default="configs/sweep.py")
    parser.add_argument("--starts", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.starts):
            seconds = first_training_s(arguments.config, Path(folder), number)
            print(f"start {number + 1}: first training recorded after {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
