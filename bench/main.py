r"""Trains a sweep of small CNNs as few XLA programs and reports what came of it.

    python -m bench.main --config=configs/sweep.py
    python -m bench.main --config=configs/sweep.py --config.trial.epochs=5 \
        --axis='learning_rate=log_uniform(1e-4, 1e-1)' \
        --config.search.method=random --config.search.trials=20
    python -m bench.main --config=configs/hardware.py     # measures the machine instead

The same command with the same --workdir goes on where a run ended, however it ended. --config.KEY=VALUE
sets a value of the config; --helpfull has every flag. Exit codes: 0 every trial completed or was pruned,
2 something to mend (one line says what), 3 some trials diverged or failed, 4 time is up and trials are left,
130 interrupted, 143 terminated.
"""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from rich.console import Console

from bench import config as configs
from bench import flags as command_line
from bench import hardware
from bench.errors import ConfigError, ConvoyError
from bench.kernels import build
from bench.run import Run
from bench.stop import EXIT_CODES
from bench.usage import usage


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
        whole = "--helpfull" in argv
        print(flags.FLAGS.get_help() if whole else usage(__doc__, command_line.GROUPS, flags.FLAGS))
        raise SystemExit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except (AttributeError, KeyError) as error:  # config_flags: a key that is not there
        flag = next((a for a in argv if a.startswith("--config.")), "")
        name = flag.lstrip("-").partition("=")[0]
        raise ConfigError(f"unknown key {name}: {configs.suggestion(name)}") from error
    except Exception as error:  # a config file is a program: anything may come out of it
        raise _failed(error) from error
    if len(rest) > 1:
        raise ConfigError(f"not a flag: {rest[1]!r}; flags begin with --, see --help")


def _train() -> int:
    options = command_line.options(_default_workdir())
    # Not on a terminal, tables take the width of a wide one rather than lose columns.
    console = Console(width=None if sys.stdout.isatty() else 120, quiet=options.quiet)
    config = _config()
    if "benchmark" in config:
        command_line.refuse_flags_of_sweeps()
        hardware.run(*configs.resolve_benchmark(config), options, console)
        return 0
    if not command_line.PLAN_ONLY.value:
        build.start()  # a compiler, if one is needed, works while data are read and JAX is imported
    run = Run(configs.resolve(config, command_line.AXIS.value), options, console)
    if command_line.PLAN_ONLY.value:
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


def _config() -> Any:
    """What the config file returned; its mistakes in one line."""
    path = _config_name().partition(":")[0]
    if not Path(path).exists():
        raise ConfigError(f"no config file {path}; configs/sweep.py is one")
    try:
        config = command_line.CONFIG.value
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
