"""The flags of `bench.main`."""

import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from bench.errors import ConfigError
from bench.options import CACHE_DIR, Options

# What `--help` shows; `--helpfull` has the others too.
GROUPS = {
    "What": ("config", "axis", "data_dir", "workdir", "plan_only"),
    "To see": ("live", "log", "keep", "curve_every", "profile", "quiet", "verbose"),
    "How": ("devices", "lanes", "plan", "checkpoint_every", "deterministic"),
}

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, with an argument after a colon: configs/sweep.py:smoke."
)
AXIS = flags.DEFINE_multi_string(
    "axis", [], "name=expression: adds or replaces an axis of the space."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run directory; runs/ and the config's name if not given."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where data sets lie: mnist/, fashion-mnist/, …")
_DEVICES = flags.DEFINE_integer(
    "devices", 0, "How many devices to use, 0 for all; on a CPU, cores."
)
_BATCH_DEVICES = flags.DEFINE_integer(
    "batch_devices",
    0,
    "Devices that share the examples of a trial; 0: on a CPU, those that too few trials leave idle.",
)
_LANES = flags.DEFINE_integer("lanes", 0, "Trials side by side in a program, 0 for as many as fit.")
_STRATEGY = flags.DEFINE_string(
    "strategy", "auto", "Lanes in turn (map), side by side (vmap), or N side by side (vmap:N)."
)
_LOWERING = flags.DEFINE_string(
    "lowering", "auto", "How convolutions and pools are computed; auto times what there is."
)
_RETUNE = flags.DEFINE_bool("retune", False, "Time lowerings anew, whatever is remembered.")
_PLAN = flags.DEFINE_enum(
    "plan", "cost", ["cost", "fewest", "separate"], "How trials are put together in programs."
)
_CHECKPOINT_EVERY = flags.DEFINE_float(
    "checkpoint_every", 30.0, "Seconds between checkpoints, at least; 0: every dispatch."
)
_CHECKPOINTS = flags.DEFINE_integer("checkpoints", 2, "How many checkpoints are kept.")
_KEEP = flags.DEFINE_enum(
    "keep",
    "none",
    ["none", "best", "last"],
    "Parameters kept of every trial: which epoch's.",
)
_LOG = flags.DEFINE_list(
    "log", [], "Where the sweep is shown too when it ends: tensorboard, mlflow."
)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "The same bits every time, on a GPU too."
)
_CURVE_EVERY = flags.DEFINE_integer(
    "curve_every",
    0,
    "Record the training loss of every so many steps of a trial, within epochs too; 0: of epochs.",
)
_PROFILE = flags.DEFINE_integer(
    "profile", 0, "Trace so many training dispatches of each program, for TensorBoard and Perfetto."
)
PLAN_ONLY = flags.DEFINE_bool(
    "plan_only", False, "Print the programs and what they would take; train nothing."
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Compiled programs and measured costs; $XDG_CACHE_HOME/convoy by default."
)
_CACHE = flags.DEFINE_bool("cache", True, "Keep them for the next run.")
_LIVE = flags.DEFINE_bool(
    "live", False, "Serve the report while the sweep runs, on a page of this machine."
)
_QUIET = flags.DEFINE_bool("quiet", False, "Say nothing but what is wrong.")
_VERBOSE = flags.DEFINE_bool("verbose", False, "Say the plan first, and each trial's end.")
# Nothing of a hardware benchmark: it would leave them out without a word.
_OF_SWEEPS = (
    AXIS, _DATA_DIR, _BATCH_DEVICES, _LANES, _PLAN, _CURVE_EVERY, _PROFILE, PLAN_ONLY, _LIVE, _LOG, _VERBOSE,
)  # fmt: skip


def options(workdir: Path) -> Options:
    """The flags' values, with the run directory for those who name none.

    Raises:
        ConfigError: values that cannot be, alone or together.
    """
    if _QUIET.value and _VERBOSE.value:
        raise ConfigError("--quiet and --verbose together: give one of them")
    return Options(
        workdir=Path(_WORKDIR.value) if _WORKDIR.value else workdir,
        data_dir=_DATA_DIR.value,
        devices=_DEVICES.value,
        batch_devices=_BATCH_DEVICES.value,
        lanes=_LANES.value,
        strategy=_STRATEGY.value,
        plan=_PLAN.value,
        lowering=_LOWERING.value,
        retune=_RETUNE.value,
        cache_dir=(Path(_CACHE_DIR.value) if _CACHE_DIR.value else CACHE_DIR)
        if _CACHE.value
        else None,
        checkpoint_every=_CHECKPOINT_EVERY.value,
        checkpoints=_CHECKPOINTS.value,
        keep=_KEEP.value,
        log=tuple(_LOG.value),
        deterministic=_DETERMINISTIC.value,
        command=tuple(sys.argv[1:]),
        curve_every=_CURVE_EVERY.value,
        profile=_PROFILE.value,
        live=_LIVE.value,
        quiet=_QUIET.value,
        verbose=_VERBOSE.value,
    )


def refuse_flags_of_sweeps() -> None:
    """Raises ConfigError where a hardware benchmark is given what is for sweeps."""
    for flag in _OF_SWEEPS:
        if flag.value != flag.default:
            raise ConfigError(
                f"--{flag.name} is for sweeps; a benchmark's settings are those of config.benchmark"
            )
