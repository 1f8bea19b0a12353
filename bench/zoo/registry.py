"""Models by name: registered, checked, and built from a trial's settings."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bench.checks import Check, fraction, must_be, one_of, positive, some_of, whole
from bench.errors import ConfigError, nearest
from bench.layers import ACTIVATIONS, Layers

Model = Callable[..., Layers]

MODELS: dict[str, Model] = {}

_count = must_be("a whole number ≥ 0", lambda v: isinstance(v, int) and v >= 0)


def _all_whole(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(v, int) and v >= 1 for v in value)


_wholes = must_be("one or more whole numbers ≥ 1", lambda v: _all_whole(v) and len(v) > 0)

# How each hyperparameter is checked, whichever model has it, before a layer could complain of it
# in words that are not the config's.
CHECKS: dict[str, Check] = {
    **dict.fromkeys(("classes", "features", "kernel", "pool", "pool_every", "units"), whole),
    **dict.fromkeys(("filter_repeats", "dense_layers", "conv_layers"), _count),
    **dict.fromkeys(("last_filters", "most_pools"), _count),
    **dict.fromkeys(("filters", "kernels"), _wholes),
    "hidden": must_be("whole numbers ≥ 1, or ()", _all_whole),
    **dict.fromkeys(("filter_dropout", "activation_dropout", "dropout"), fraction),
    "padding": one_of("SAME", "VALID"),
    "paddings": some_of("SAME", "VALID"),
    "pool_kind": one_of("max", "average"),
    "output": one_of("softmax", "sigmoid"),
    "depth": one_of(11, 13, 16, 19),
    "paths": one_of("parallel", "sequential"),
    "modules": must_be("a whole number from 1 to 9", lambda v: isinstance(v, int) and 1 <= v <= 9),
    "stage_blocks": whole,
    "taper": positive,
    "activation": one_of(*ACTIVATIONS),
    "batch_norm": one_of(False, True),
}


def model(function: Model) -> Model:
    """Registers `function` in MODELS and checks what it is given (else ConfigError)."""

    @functools.wraps(function)
    def checked(classes: int, **settings: Any) -> Layers:
        for name, value in {"classes": classes, **settings}.items():
            if name in CHECKS:  # a model from elsewhere may have others, and checks them itself
                CHECKS[name](name, value)
        return function(classes, **settings)

    MODELS[function.__name__] = checked
    return checked


def hyperparameters(model: str) -> dict[str, Any]:
    """The model's hyperparameters with their defaults. ConfigError for an unknown model."""
    if model not in MODELS:
        raise ConfigError(f"unknown model {model!r}; {nearest(model, MODELS)}")
    return dict(_keywords(MODELS[model]))


@functools.cache
def _keywords(model: Model) -> Mapping[str, Any]:
    given = inspect.signature(model).parameters.values()
    return {p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY}


def build(model: str, settings: Mapping[str, Any], classes: int) -> Layers:
    """The model's layers. `settings` may hold more than its hyperparameters: they are left out.

    Raises ConfigError for an unknown model or a hyperparameter that cannot be used.
    """
    own = ((name, settings[name]) for name in hyperparameters(model) if name in settings)
    return _built(MODELS[model], classes, tuple(own))


@functools.lru_cache(maxsize=4096)  # thousands of trials may differ in learning rates alone
def _built(model: Model, classes: int, settings: tuple[tuple[str, Any], ...]) -> Layers:
    return model(classes, **dict(settings))
