"""The sweep of `benchmarks.soak` in this process, whose memory may be squeezed while it trains.

python -m benchmarks.squeezed '{"workdir": …, "cache": …, "trials": 10000, "squeeze": [2.0, 20, 1.0]}'
"""

import contextlib
import ctypes
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import peaks
from bench.config import Settings, defaults, resolve
from bench.options import Options
from bench.program import Program
from bench.run import Run
from bench.sweep import Sweep

DIVERGES = 1e38
RATES = (*(round(1e-3 * 1.2**k, 6) for k in range(19)), DIVERGES)  # one of twenty
LANES = 64
STOPPED = 4


def settings(trials: int, epochs: int) -> Settings:
    """Trials of a few steps an epoch, some of which diverge."""
    config: Any = defaults()
    config.data.limit = 101  # 64 of them to train on
    config.trial.update(model="mlp", units=256, batch_size=16, epochs=epochs)
    config.space = {
        "learning_rate": RATES,
        "dropout": "uniform(0, 0.5)",
        "optimizer": ("adam", "sgd"),
    }
    config.search = {"method": "random", "trials": trials, "seed": 0}
    return resolve(config)


def squeeze(after_s: float, megabytes: float, hold_s: float) -> None:
    """Soon after training has begun the system refuses memory, until something gives way or time is up.

    Args:
        after_s: seconds of training before it.
        megabytes: by which more is in use than is allowed then.
        hold_s: seconds for which it lasts.
    """
    begun, over = threading.Event(), threading.Event()
    _first(Program, "train", begun.set)
    # To compile takes memory, and without it XLA ends the process.
    _first(Sweep, "_retreat", over.set)

    def hold() -> None:
        begun.wait()
        time.sleep(after_s)
        # What was freed goes back to the system, for else arrays would be taken from it.
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        left = pages * resource.getpagesize() - int(megabytes * 1e6)
        resource.setrlimit(resource.RLIMIT_AS, (left, hard))
        over.wait(hold_s)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    threading.Thread(target=hold, daemon=True).start()


def _first(owner: type, name: str, also: Callable[[], None]) -> None:
    """Has something done before each call of a method."""
    method = getattr(owner, name)

    def called(*given: Any) -> Any:
        also()
        return method(*given)

    setattr(owner, name, called)


def main() -> int:
    """Trains, or goes on; returns 0 once all is done."""
    job = json.loads(sys.argv[1])
    peaks.CPU = peaks.Sizes((64,), 1 << 16)  # else their arrays were the largest memory of all
    if job["squeeze"]:
        squeeze(*job["squeeze"])
    options = Options(
        Path(job["workdir"]),
        cache_dir=Path(job["cache"]),
        lanes=LANES,
        strategy="map",
        checkpoint_every=1.0,
    )
    run = Run(settings(job["trials"], job["epochs"]), options, Console(quiet=True))
    run.train()
    return 0 if run.reason == "completed" else STOPPED


if __name__ == "__main__":
    sys.exit(main())
