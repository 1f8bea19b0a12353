"""How to run what a config says: the flags of the command line, checked."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import host
from bench.errors import ConfigError

CACHE_DIR = host.cache_dir()


@dataclass(frozen=True)
class Options:
    """How to run what `Settings` say; none of it changes a result by more than rounding.

    Attributes:
        workdir: the run directory.
        data_dir: where data sets lie.
        devices: how many to use; 0 for all, on a CPU one for each core.
        batch_devices: how many of them share the examples of a lane; 0 for those that lanes would leave idle
            (`bench.planner.shares`).
        lanes: trials side by side in a program; 0 for as many as fit.
        strategy: "map", "vmap", "vmap:N" or "auto".
        plan: "cost", "fewest" or "separate": how trials are put together in programs.
        lowering: "auto" chooses by time; or a set of `bench.ops.lowerings`.
        retune: choose anew, whatever is remembered.
        cache_dir: for compiled programs and measured costs; None keeps none.
        checkpoint_every: seconds between two checkpoints, at least; 0 for one after every dispatch.
        checkpoints: how many are kept.
        keep: of every trial, the parameters of its "best" epoch, of its "last", or "none".
        log: the tools that show the sweep too, of `bench.logs.LIBRARIES`.
        deterministic: XLA takes only what gives the same bits every time, on a GPU too.
        live: the report is served while the sweep runs, on a page of this machine.
        quiet: nothing is said but what is wrong.
        verbose: the plan is said first, and each trial's end.
        command: the flags as they were given, for the record; None where no command line was.
        curve_every: loss and accuracy of training are recorded for every so many steps of a trial; 0 for no.
        profile: training dispatches of each program that are traced, after its warm-up.
    """

    workdir: Path
    data_dir: Path | str | None = None
    devices: int = 0
    batch_devices: int = 0
    lanes: int = 0
    strategy: str = "auto"
    plan: str = "cost"
    lowering: str = "auto"
    retune: bool = False
    cache_dir: Path | None = CACHE_DIR
    checkpoint_every: float = 30.0
    checkpoints: int = 2
    keep: str = "none"
    log: tuple[str, ...] = ()
    deterministic: bool = False
    command: tuple[str, ...] | None = None
    live: bool = False
    quiet: bool = False
    verbose: bool = False
    curve_every: int = 0
    profile: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.checkpoint_every < math.inf:
            raise ConfigError(
                f"checkpoint_every={self.checkpoint_every} is not allowed: seconds ≥ 0"
            )
        if self.checkpoints < 1:
            raise ConfigError(f"checkpoints={self.checkpoints} is not allowed: a number ≥ 1")
        for name in ("curve_every", "profile"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)} is not allowed: a number ≥ 0")

    def flags(self) -> dict[str, Any]:
        """Those that decide how a sweep is computed: with others, results agree to rounding."""
        names = (
            "devices",
            "lanes",
            "strategy",
            "plan",
            "lowering",
            "deterministic",
        )
        return {name: getattr(self, name) for name in names}
