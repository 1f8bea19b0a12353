"""Config files: what they start from, how they are checked, and what is saved of them."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ml_collections import ConfigDict, config_dict

from bench import hyperparameters, space, zoo
from bench.data import DataOptions
from bench.errors import ConfigError, nearest
from bench.precision import PRECISIONS
from bench.space import Axis
from bench.suite import Benchmark


def defaults() -> ConfigDict:
    """What every config file starts from; it changes what it means to and returns it.

        def get_config():
            config = defaults()
            config.trial.update(features=16, epochs=20)
            config.space = dict(learning_rate=(1e-3, 1e-2))
            return config

    `trial` holds every hyperparameter there is; those without a value take the default of the model,
    optimizer or schedule that they belong to.
    """
    config = ConfigDict()
    config.dataset = "digits"
    config.data = asdict(DataOptions())
    config.trial = _trial()
    config.space = ConfigDict()
    config.search = {"method": "grid", "trials": 0, "seed": 0}
    config.budget = {"seconds": 0.0}
    config.precision = "float32"
    return config


def benchmark() -> ConfigDict:
    """What the config file of a hardware benchmark starts from, as `configs/hardware.py`.

    Its section `benchmark` is what tells it from a sweep's, whose sections it has no use for.
    """
    config = ConfigDict()
    config.benchmark = asdict(Benchmark())
    config.precision = "float32"
    return config


def _trial() -> ConfigDict:
    trial = ConfigDict({name: rule.default for name, rule in hyperparameters.COMMON.items()})
    tables = (*hyperparameters.OPTIMIZERS.values(), *hyperparameters.SCHEDULES.values())
    own = {name: rule.default for table in tables for name, rule in table.items()}
    for model in zoo.MODELS:
        own |= zoo.hyperparameters(model)
    for name, default in sorted(own.items()):
        trial[name] = config_dict.placeholder(type(default))
    return trial


@dataclass(frozen=True)
class Settings:
    """A checked config, in plain types.

    Attributes:
        dataset, data: what `bench.data.load` takes.
        trial: hyperparameters that every trial starts from.
        space: the axes that vary.
        search: `method`, `trials`, `seed`.
        seconds: wall-clock limit, 0 for none.
        precision: a name of `precision.PRECISIONS`.
    """

    dataset: str
    data: DataOptions
    trial: Mapping[str, Any]
    space: Mapping[str, Axis]
    search: Mapping[str, Any]
    seconds: float
    precision: str

    def to_json(self) -> dict[str, Any]:
        """What `config.json` holds: axes as their expressions, hyperparameters that were given."""
        data = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.data).items()}
        trial = {k: v for k, v in self.trial.items() if v is not None}
        return {
            "dataset": self.dataset,
            "data": data,
            "trial": {k: list(v) if isinstance(v, tuple) else v for k, v in trial.items()},
            "space": {name: str(axis) for name, axis in self.space.items()},
            "search": dict(self.search),
            "budget": {"seconds": self.seconds},
            "precision": self.precision,
        }


def resolve(config: ConfigDict, axes: Iterable[str] = ()) -> Settings:
    """Checks a config and adds the command line's axes.

    Args:
        config: from a config file, overrides applied.
        axes: `name=expression`, as `--axis` gives them; they add to the config's space or replace in it.

    Raises:
        ConfigError: an unknown key, a value of the wrong kind, an axis that cannot be read.
    """
    if not isinstance(config, ConfigDict):
        raise ConfigError("get_config must return a ConfigDict: start from bench.config.defaults()")
    known = defaults().to_dict()
    given = {**known, **config.to_dict()}
    _known_keys(given, known, "config")
    for name, value in given.items():
        _same_kind(f"config.{name}", value, known[name])
    for part in ("data", "search", "budget"):  # a config may have replaced one by a dict of less
        _known_keys(given[part], known[part], f"config.{part}")
        given[part] = {**known[part], **given[part]}
        for name, value in given[part].items():
            _same_kind(f"config.{part}.{name}", value, known[part][name])
    varied = {name: space.axis(value) for name, value in given["space"].items()}
    for text in axes:
        name, equals, expression = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--axis={text!r} is not name=expression, as features=(8, 16)")
        varied[name.strip()] = space.parse_axis(expression)
    for name in (*given["trial"], *varied):
        if name not in hyperparameters.known():
            hint = nearest(name, hyperparameters.known())
            raise ConfigError(f"unknown hyperparameter {name!r}: {hint}")
    _known_precision(given["precision"])
    if not 0 <= given["budget"]["seconds"] < math.inf:
        raise ConfigError("budget.seconds must be a finite number ≥ 0 (0: no limit)")
    options = {f.name: given["data"][f.name] for f in fields(DataOptions)}
    options["classes"] = tuple(options["classes"])
    return Settings(
        dataset=given["dataset"],
        data=DataOptions(**options),
        trial=given["trial"],
        space=varied,
        search=given["search"],
        seconds=float(given["budget"]["seconds"]),
        precision=given["precision"],
    )


def resolve_benchmark(config: ConfigDict) -> tuple[Benchmark, str]:
    """Checks the config of a hardware benchmark: what is measured, and the precision.

    Args:
        config: with a section `benchmark`, overrides applied.

    Raises:
        ConfigError: an unknown key, a value of the wrong kind, or one that cannot be used.
    """
    known = benchmark().to_dict()
    given = {**known, **config.to_dict()}
    _known_keys(given, known, "config")
    for name, value in given.items():
        _same_kind(f"config.{name}", value, known[name])
    part = {**known["benchmark"], **given["benchmark"]}
    _known_keys(part, known["benchmark"], "config.benchmark")
    for name, value in part.items():
        _same_kind(f"config.benchmark.{name}", value, known["benchmark"][name])
    _known_precision(given["precision"])
    return Benchmark(**part), given["precision"]


def _known_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision={precision!r} is not allowed: {', '.join(PRECISIONS)}")


def _known_keys(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown key {where}.{name}: {nearest(name, known)}")


def _same_kind(name: str, value: Any, default: Any) -> None:
    kinds: tuple[type, ...] = {float: (int, float), tuple: (tuple, list)}.get(
        type(default), (type(default),)
    )
    if isinstance(default, Mapping) and not isinstance(value, Mapping):
        raise ConfigError(f"{name}={value!r} must be a dict")
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        raise ConfigError(f"{name}={value!r} must be of the kind of {default!r}")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The keys in which two resolved configs differ, as `trial.epochs: 10 there, 20 here`."""
    found = []
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{prefix}{name}.")
        elif one != other:
            there, here = ("not given" if v is None else repr(v) for v in (one, other))
            found.append(f"{prefix}{name}: {there} there, {here} here")
    return found


def suggestion(name: str) -> str:
    """The nearest dotted key of a config to one that is not there, for the command line's errors."""
    known = []

    def walk(part: Mapping[str, Any], prefix: str) -> None:
        for key, value in part.items():
            known.append(prefix + key)
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")

    walk(defaults().to_dict() | benchmark().to_dict(), "config.")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "see python -m bench.main --help"
