"""Every hyperparameter that is not a model's own: its default, what is allowed, and when it is active.

A hyperparameter is *active* when it can change a trial's result: `beta1` is with adam, not with sgd.
Models bring theirs as keyword arguments (`bench.zoo`). The tables here are data, so that the command
line, the trial's identity, the device code and the documentation all agree on one spelling.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench import zoo
from bench.errors import ConfigError, nearest

Value = bool | int | float | str | tuple


@dataclass(frozen=True)
class Hyperparameter:
    """A default, and which values are allowed (`allowed` in words, `valid` as a test)."""

    default: Value
    allowed: str
    valid: Callable[[Any], bool]


def _at_least(default: Value, low: float) -> Hyperparameter:
    return Hyperparameter(default, f"a number ≥ {low:g}", lambda v: v >= low)


def _above_zero(default: float) -> Hyperparameter:
    return Hyperparameter(default, "a number > 0", lambda v: v > 0)


def _fraction(default: float, closed: bool = False) -> Hyperparameter:
    if closed:
        return Hyperparameter(default, "a number from 0 to 1", lambda v: 0 <= v <= 1)
    return Hyperparameter(default, "a number in [0, 1)", lambda v: 0 <= v < 1)


def _one_of(default: str, names: Mapping[str, Any] | tuple[str, ...]) -> Hyperparameter:
    return Hyperparameter(default, "one of " + ", ".join(names), lambda v: v in names)


_ADAM = {"beta1": _fraction(0.9), "beta2": _fraction(0.999), "eps": _above_zero(1e-8)}

# Optax's definitions. `weight_decay` is decoupled from the gradient with adamw and lion and added to it
# (L2 regularisation) with the others, as in PyTorch.
OPTIMIZERS: dict[str, dict[str, Hyperparameter]] = {
    "sgd": {},
    "momentum": {"momentum": _fraction(0.9)},
    "nesterov": {"momentum": _fraction(0.9)},
    "adam": _ADAM,
    "adamw": _ADAM,
    "rmsprop": {"decay": _fraction(0.9), "eps": _above_zero(1e-8)},
    "adagrad": {"initial_accumulator": _above_zero(0.1), "eps": _above_zero(1e-7)},
    "lion": {"beta1": _fraction(0.9), "beta2": _fraction(0.99)},
}

SCHEDULES: dict[str, dict[str, Hyperparameter]] = {
    "constant": {},
    "cosine": {"final_fraction": _fraction(0.0, closed=True)},
    "warmup_cosine": {
        "warmup_fraction": _fraction(0.1),
        "final_fraction": _fraction(0.0, closed=True),
    },
    "exponential": {"decay_rate": _above_zero(0.9), "decay_epochs": _above_zero(1.0)},
    "step": {"decay_rate": _above_zero(0.1), "decay_epochs": _above_zero(10.0)},
}

# name → (gain, weight of the fan-out, uniform?): variance = gain / (fan_in + weight · fan_out).
INITIALIZERS: dict[str, tuple[float, float, bool]] = {
    "lecun_normal": (1.0, 0.0, False),
    "he_normal": (2.0, 0.0, False),
    "glorot_normal": (2.0, 1.0, False),
    "lecun_uniform": (1.0, 0.0, True),
    "he_uniform": (2.0, 0.0, True),
    "glorot_uniform": (2.0, 1.0, True),
    "zeros": (0.0, 0.0, False),
}

_SEED = Hyperparameter(0, "a whole number from 0 to 2³²-1", lambda v: 0 <= v < 2**32)

COMMON: dict[str, Hyperparameter] = {
    "model": _one_of("stack", zoo.MODELS),  # those registered later too
    "optimizer": _one_of("adam", OPTIMIZERS),
    "learning_rate": _above_zero(1e-3),
    "schedule": _one_of("constant", SCHEDULES),
    "weight_decay": _at_least(0.0, 0),
    "clip_norm": Hyperparameter(0.0, "a number ≥ 0 (0: no clipping)", lambda v: v >= 0),
    "batch_size": _at_least(64, 1),
    "epochs": _at_least(10, 1),
    "target_accuracy": Hyperparameter(0.0, "a number from 0 to 1 (0: none)", lambda v: 0 <= v <= 1),
    "label_smoothing": _fraction(0.0),
    "class_weights": _one_of("none", ("none", "balanced")),
    "init": _one_of("lecun_normal", INITIALIZERS),
    "flip": Hyperparameter(False, "True or False", lambda v: isinstance(v, bool)),
    "shift": Hyperparameter(0, "a whole number of pixels ≥ 0", lambda v: v >= 0),
    "crop": Hyperparameter(0.0, "a fraction of the side in [0, 1)", lambda v: 0 <= v < 1),
    "seed": _SEED,
    "data_seed": _SEED,
}


def known() -> frozenset[str]:
    """Every name that any trial can use."""
    return _known(tuple(zoo.MODELS))


@functools.cache
def _known(models: tuple[str, ...]) -> frozenset[str]:
    tables = (COMMON, *OPTIMIZERS.values(), *SCHEDULES.values())
    own = map(zoo.hyperparameters, models)
    return frozenset(name for table in (*tables, *own) for name in table)


def resolve(settings: Mapping[str, Any]) -> dict[str, Value]:
    """The active hyperparameters of `settings`, checked, in canonical types, defaults filled in.

    Args:
        settings: name → value; None stands for the default, names active elsewhere are left out.

    Raises:
        ConfigError: an unknown name, or a value that its hyperparameter does not allow.
    """
    names = known()
    for name in settings:
        if name not in names:
            raise ConfigError(f"unknown hyperparameter {name!r}: {nearest(name, names)}")
    given = {name: value for name, value in settings.items() if value is not None}
    resolved = _checked(COMMON, given)
    if not resolved["target_accuracy"]:
        del resolved["target_accuracy"]  # without a target it changes nothing
    resolved |= _checked(OPTIMIZERS[resolved["optimizer"]], given)
    resolved |= _checked(SCHEDULES[resolved["schedule"]], given)
    for name, default in zoo.hyperparameters(resolved["model"]).items():
        resolved[name] = _canonical(name, given.get(name, default), default)
    return dict(sorted(resolved.items()))


def _checked(table: Mapping[str, Hyperparameter], given: Mapping[str, Any]) -> dict[str, Any]:
    checked = {}
    for name, rule in table.items():
        value = _canonical(name, given.get(name, rule.default), rule.default)
        if value is not rule.default and (isinstance(value, tuple) or not rule.valid(value)):
            hint = (
                f"; {nearest(value, rule.allowed[7:].split(', '))}"
                if isinstance(value, str)
                else ""
            )
            raise ConfigError(f"{name}={value!r} is not allowed: {rule.allowed}{hint}")
        checked[name] = value
    return checked


def _canonical(name: str, value: Any, default: Any) -> Any:
    """`value` in the type of `default`, so that 1 and 1.0 name one trial."""
    if type(value) is type(default) and value == default:
        return default  # most are, in thousands of trials
    if isinstance(default, tuple):  # one value stands for a tuple of it
        several = value if isinstance(value, list | tuple) else (value,)
        if not any(isinstance(v, list | tuple) for v in several):
            return tuple(_canonical(name, v, default[0]) for v in several)
        raise ConfigError(f"{name}={value!r} is not allowed: give a tuple of single values")
    if isinstance(value, list | tuple) and not isinstance(default, str | bool):
        return tuple(_canonical(name, v, default) for v in value)
    wanted = type(default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    finite = number and abs(value) <= sys.float_info.max  # so not NaN, nor too large for a float
    if wanted is float and finite:
        return float(value) + 0.0  # -0.0 becomes 0.0
    if wanted is int and finite and value == int(value):
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    names = {float: "a finite number", int: "a whole number", bool: "True or False", str: "a name"}
    raise ConfigError(f"{name}={value!r} is not allowed: give {names[wanted]}")
