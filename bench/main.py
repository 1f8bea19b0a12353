r"""Trains a sweep of small CNNs as few XLA programs and reports what came of it.

    python -m bench.main --config=configs/sweep.py
    python -m bench.main --config=configs/sweep.py:smoke --workdir=runs/first
    python -m bench.main --config=configs/sweep.py --config.trial.epochs=5 \
        --axis='learning_rate=log_uniform(1e-4, 1e-1)' \
        --config.search.method=random --config.search.trials=20
    python -m bench.main --config=configs/hardware.py     # measures the machine instead

The same command with the same --workdir goes on where a run ended, however it ended. A finished run shows
its report; values added to an axis are trained there too.

Exit codes: 0 every trial completed or was pruned, 2 something to mend (one line says what), 3 some trials
diverged or failed, 4 time is up and trials are left, 130 interrupted, 143 terminated.
"""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from bench import config as configs
from bench import hardware
from bench.errors import ConfigError, ConvoyError
from bench.kernels import build
from bench.options import CACHE_DIR, Options
from bench.run import Run
from bench.stop import EXIT_CODES

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, with an argument after a colon."
)
_AXIS = flags.DEFINE_multi_string(
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
    "batch_devices", 1, "The mesh: devices that share the examples of a trial, for large models."
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
    "checkpoint_every", 30.0, "Seconds between checkpoints; 0: every dispatch."
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
_PLAN_ONLY = flags.DEFINE_bool(
    "plan_only", False, "Print the programs and what they would take; train nothing."
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Compiled programs and measured costs; $XDG_CACHE_HOME/convoy by default."
)
_CACHE = flags.DEFINE_bool("cache", True, "Keep them for the next run.")


def main() -> int:
    """Parses the command line, trains, reports; returns the exit code."""
    try:
        _parse(sys.argv)
        return _train()
    except ConvoyError as error:
        print(f"convoy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("convoy: interrupted; the same command goes on with what is left", file=sys.stderr)
        _leave(EXIT_CODES["SIGINT"])


def _parse(argv: list[str]) -> None:
    """Flags into values, with this project's own words and exit code for mistakes."""
    if {"--help", "--helpfull", "-h"} & set(argv):
        print(__doc__)
        own = flags.FLAGS.main_module_help()
        print(flags.FLAGS.get_help() if "--helpfull" in argv else own)
        raise SystemExit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except (
        AttributeError,
        KeyError,
    ) as error:  # what config_flags makes of a key that is not there
        name = (
            next((a for a in argv if a.startswith("--config.")), "").lstrip("-").partition("=")[0]
        )
        raise ConfigError(f"unknown key {name}: {configs.suggestion(name)}") from error
    except Exception as error:  # a config file is a program: anything may come out of it
        raise _failed(error) from error
    if len(rest) > 1:
        raise ConfigError(f"not a flag: {rest[1]!r}; flags begin with --, see --help")


def _train() -> int:
    options = Options(
        workdir=Path(_WORKDIR.value) if _WORKDIR.value else _default_workdir(),
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
    )
    # Not on a terminal, tables take the width of a wide one rather than lose columns.
    console = Console(width=None if sys.stdout.isatty() else 120)
    config = _config()
    if "benchmark" in config:
        _refuse_flags_of_sweeps()
        hardware.run(*configs.resolve_benchmark(config), options, console)
        return 0
    if not _PLAN_ONLY.value:
        build.start()  # a compiler, if one is needed, works while data are read and JAX is imported
    run = Run(configs.resolve(config, _AXIS.value), options, console)
    if _PLAN_ONLY.value:
        run.plan_only()
        return 0
    results = run.train()
    if run.reason in EXIT_CODES:
        _leave(EXIT_CODES[run.reason])
    bad = {record.status for record in results.trials.values()} & {"diverged", "failed"}
    return 3 if bad else 0 if run.reason == "completed" else 4


def _leave(code: int) -> NoReturn:
    """Ends the process at once: a program that is being compiled would be waited for."""
    build.abandon()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _refuse_flags_of_sweeps() -> None:
    """A benchmark would leave them out without a word."""
    for flag in (_AXIS, _DATA_DIR, _BATCH_DEVICES, _LANES, _PLAN, _PLAN_ONLY, _LOG):
        if flag.value != flag.default:
            raise ConfigError(
                f"--{flag.name} is for sweeps; a benchmark's settings are those of config.benchmark"
            )


def _config() -> Any:
    """What the config file returned; its mistakes in one line."""
    path = _config_name().partition(":")[0]
    if not Path(path).exists():
        raise ConfigError(f"no config file {path}; configs/sweep.py is one")
    try:
        config = _CONFIG.value
        config.to_dict()  # a file that failed to load says so only when it is used
    except ConvoyError:
        raise
    except Exception as error:
        raise _failed(error) from error
    return config


def _failed(error: BaseException) -> ConfigError:
    """What a config file raised, without what its loader wrapped around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = " ".join(str(error).split())
    return ConfigError(f"{_config_name()} fails: {type(error).__name__}: {words}")


def _config_name() -> str:
    """The config flag as it was given: configs/sweep.py:smoke."""
    for place, flag in enumerate(sys.argv):
        name, equals, value = flag.lstrip("-").partition("=")
        if name == "config" and flag.startswith("-"):
            return value if equals else "".join(sys.argv[place + 1 : place + 2])
    raise ConfigError("say what to train: --config=configs/sweep.py")


def _default_workdir() -> Path:
    """runs/sweep for configs/sweep.py, runs/sweep_smoke for configs/sweep.py:smoke."""
    path, _, argument = _config_name().partition(":")
    return Path("runs") / "_".join(filter(None, (Path(path).stem, argument.replace("/", "_"))))


if __name__ == "__main__":
    sys.exit(main())
