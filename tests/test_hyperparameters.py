import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import zoo
from bench.errors import ConfigError
from bench.hyperparameters import (
    COMMON,
    INITIALIZERS,
    OPTIMIZERS,
    SCHEDULES,
    Hyperparameter,
    known,
    resolve,
)

DRAWN = settings(deadline=None, max_examples=60, database=None)
RULES: dict[str, list[Hyperparameter]] = {}
for table in (COMMON, *OPTIMIZERS.values(), *SCHEDULES.values()):
    for rule_name, rule in table.items():
        RULES.setdefault(rule_name, []).append(rule)
FLOATS = sorted(name for name, rules in RULES.items() if isinstance(rules[0].default, float))
WHOLE = sorted(name for name, rules in RULES.items() if type(rules[0].default) is int)

# name → settings that make it active.
ACTIVE: dict[str, dict[str, Any]] = {name: {} for name in COMMON}
ACTIVE |= {name: {"optimizer": kind} for kind, rules in OPTIMIZERS.items() for name in rules}
ACTIVE |= {name: {"schedule": kind} for kind, rules in SCHEDULES.items() for name in rules}


def refused(settings: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_resolves_to_exactly_what_is_active() -> None:
    common = {name: rule.default for name, rule in COMMON.items() if name != "target_accuracy"}
    for kind, schedule, model in itertools.product(OPTIMIZERS, SCHEDULES, zoo.MODELS):
        chosen = {"optimizer": kind, "schedule": schedule, "model": model}
        rules = OPTIMIZERS[kind] | SCHEDULES[schedule]
        own = {name: rule.default for name, rule in rules.items()}
        assert resolve(chosen) == common | own | zoo.hyperparameters(model) | chosen
        assert resolve({**chosen, "target_accuracy": 0.9})["target_accuracy"] == 0.9


def test_every_default_is_one_that_its_rule_allows() -> None:
    for name, rules in RULES.items():
        for rule in rules:
            assert rule.valid(rule.default), name
    assert set(RULES) | {n for m in zoo.MODELS for n in zoo.hyperparameters(m)} == known()


def test_a_name_means_one_type_everywhere() -> None:
    """Else `1` could name different trials with different optimizers or models."""
    for name, rules in RULES.items():
        assert len({type(rule.default) for rule in rules}) == 1, name
    types: dict[str, set[type]] = {}
    for model in zoo.MODELS:
        for name, default in zoo.hyperparameters(model).items():
            types.setdefault(name, set()).add(type(default))
            assert name not in RULES, f"{name} is a model's and a common hyperparameter"
    assert all(len(found) == 1 for found in types.values())


def test_none_stands_for_the_default() -> None:
    assert resolve(dict.fromkeys(known())) == resolve({})


def test_numbers_take_the_type_of_their_hyperparameter() -> None:
    found = resolve({"learning_rate": 1, "batch_size": 32.0, "dropout": 0, "features": 8.0})
    assert [type(found[n]) for n in ("learning_rate", "batch_size", "dropout", "features")] == [
        float,
        int,
        float,
        int,
    ]
    assert math.copysign(1, resolve({"weight_decay": -0.0})["weight_decay"]) == 1


@pytest.mark.parametrize(
    ("given", "found"),
    [(64, (64,)), (8.0, (8,)), ([3, 4.0], (3, 4)), ((), ()), ((5,), (5,)), (None, (64,))],
)
def test_one_value_stands_for_a_tuple_of_it(given: Any, found: tuple) -> None:
    assert resolve({"model": "convnet", "hidden": given})["hidden"] == found


@pytest.mark.parametrize("value", [2.5, "8", (8, "8"), ((8,),), True, (math.nan,)])
def test_a_tuple_holds_values_of_one_type(value: Any) -> None:
    assert refused({"model": "convnet", "hidden": value}).startswith("hidden=")


@given(st.dictionaries(st.sampled_from(FLOATS), st.floats(0.01, 0.99)), st.permutations(FLOATS))
@DRAWN
def test_resolving_twice_changes_nothing(given: dict[str, float], order: list[str]) -> None:
    once = resolve(given)
    assert resolve(once) == once
    assert list(once) == sorted(once)
    assert resolve({name: given[name] for name in order if name in given}) == once


BAD: list[tuple[str, Any]] = [
    ("learning_rate", 0),
    ("learning_rate", -1e-3),
    ("learning_rate", [1e-3]),
    ("learning_rate", (1e-3, 1e-2)),
    ("eps", 0),
    ("initial_accumulator", 0.0),
    ("decay_epochs", 0),
    ("decay_rate", -0.1),
    ("momentum", 1),
    ("momentum", -0.1),
    ("beta1", 1.0),
    ("beta2", 1.0),
    ("decay", 1.5),
    ("final_fraction", 1.01),
    ("warmup_fraction", 1),
    ("label_smoothing", 1),
    ("weight_decay", -1e-9),
    ("clip_norm", -1),
    ("batch_size", 0),
    ("batch_size", 1.5),
    ("batch_size", -4),
    ("epochs", 0),
    ("epochs", 2.5),
    ("seed", -1),
    ("seed", 2**32),
    ("data_seed", 0.5),
    ("shift", -1),
    ("crop", 1.0),
    ("flip", 1),
    ("flip", "True"),
    ("optimizer", 3),
    ("optimizer", ["adam"]),
    ("model", True),
    ("init", ""),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_refuses_bad_values(name: str, value: Any) -> None:
    assert refused({**ACTIVE[name], name: value}).startswith(f"{name}=")


@pytest.mark.parametrize("name", FLOATS + WHOLE)
def test_refuses_what_is_no_finite_number(name: str) -> None:
    infinite = (math.nan, math.inf, -math.inf, 10**400, -(10**400))
    for value in (*infinite, "0.5", True, False, {}, 1j):
        assert refused({**ACTIVE[name], name: value}).startswith(f"{name}=")


@pytest.mark.parametrize("name", sorted(zoo.hyperparameters("stack")))
def test_refuses_the_wrong_type_for_a_models_own(name: str) -> None:
    default = zoo.hyperparameters("stack")[name]
    for value in (math.nan, {}, b"x", 1 if isinstance(default, bool | str) else True):
        assert refused({name: value}).startswith(f"{name}=")


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("optimizer", "adm", "adam"),
        ("optimizer", "rmsprob", "rmsprop"),
        ("model", "stak", "stack"),
        ("schedule", "cosin", "cosine"),
        ("init", "he_norml", "he_normal"),
        ("class_weights", "balance", "balanced"),
    ],
)
def test_an_unknown_choice_names_the_nearest(name: str, value: str, meant: str) -> None:
    message = refused({name: value})
    assert message.startswith(f"{name}={value!r}")
    assert message.endswith(f"did you mean {meant!r}?")


def test_an_unknown_name_names_the_nearest() -> None:
    for name in known():
        wrong = name + "x"
        assert refused({wrong: 1}) == f"unknown hyperparameter {wrong!r}: did you mean {name!r}?"


def test_a_bad_value_of_what_is_inactive_is_not_looked_at() -> None:
    assert resolve({"optimizer": "sgd", "beta1": 7}) == resolve({"optimizer": "sgd"})


@pytest.mark.parametrize("table", [OPTIMIZERS, SCHEDULES, INITIALIZERS])
def test_names_are_words(table: dict[str, Any]) -> None:
    assert all(name.isidentifier() for name in table)
