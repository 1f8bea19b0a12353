import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import zoo
from bench.errors import ConfigError
from bench.hyperparameters import COMMON, INITIALIZERS, OPTIMIZERS, SCHEDULES, resolve
from bench.layers import Dropout, flat
from bench.trial import Trial

DRAWN = settings(deadline=None, max_examples=50, database=None)
DATA = {"data": "0123456789abcdef", "precision": "float32"}
NUMBERS = {
    "learning_rate": st.floats(1e-8, 1e3),
    "batch_size": st.integers(1, 4096),
    "epochs": st.integers(1, 500),
    "weight_decay": st.floats(0, 1),
    "dropout": st.floats(0, 0.999),
    "features": st.integers(1, 512),
    "beta1": st.floats(0, 0.999),
    "momentum": st.floats(0, 0.999),
    "decay_rate": st.floats(1e-3, 2),
    "taper": st.floats(0.01, 1),
    "seed": st.integers(0, 2**32 - 1),
}
WORDS = {
    "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
    "schedule": st.sampled_from(sorted(SCHEDULES)),
    "init": st.sampled_from(sorted(INITIALIZERS)),
    "model": st.sampled_from(sorted(zoo.MODELS)),
    "flip": st.booleans(),
}
SETTINGS = st.fixed_dictionaries({}, optional={**NUMBERS, **WORDS})


def trial(**given: Any) -> Trial:
    return Trial.create(given, DATA)


# By hand: another valid value of each hyperparameter, and what makes it active.
OTHER: dict[str, Any] = {
    "model": "mlp",
    "optimizer": "sgd",
    "schedule": "cosine",
    "class_weights": "balanced",
    "init": "zeros",
    "flip": True,
    "batch_norm": True,
    "padding": "VALID",
    "pool_kind": "average",
    "activation": "tanh",
    "filters": (5,),
    "kernels": (2, 3),
    "paddings": ("VALID",),
    "hidden": (),
    "output": "sigmoid",
    "modules": 8,
    "paths": "sequential",
}
CASES = [
    *(({}, name, rule.default) for name, rule in COMMON.items()),
    *(({"optimizer": k}, n, r.default) for k, t in OPTIMIZERS.items() for n, r in t.items()),
    *(({"schedule": k}, n, r.default) for k, t in SCHEDULES.items() for n, r in t.items()),
    *(({"model": m}, n, d) for m in zoo.MODELS for n, d in zoo.hyperparameters(m).items()),
]


@pytest.mark.parametrize(("active", "name", "default"), CASES)
def test_each_active_hyperparameter_changes_the_id(
    active: dict[str, str], name: str, default: Any
) -> None:
    other = OTHER.get(name)
    if other is None:
        other = default + 1 if isinstance(default, int) else default * 0.5 + 0.25
    assert trial(**active, **{name: other}).id != trial(**active).id
    assert trial(**active, **{name: default}) == trial(**active)


@given(SETTINGS)
@DRAWN
def test_no_inactive_hyperparameter_changes_the_id(given: dict[str, Any]) -> None:
    found = trial(**given)
    assert trial(**{k: v for k, v in given.items() if k in found.settings}) == found
    assert set(found.settings) == set(resolve(given))


def test_what_sgd_never_reads_is_not_part_of_it() -> None:
    plain = trial(optimizer="sgd")
    assert trial(optimizer="sgd", momentum=0.5, beta1=0.1, eps=1e-3, decay_rate=0.3) == plain
    assert "features" not in trial(model="mlp", features=99).settings


@given(SETTINGS, st.randoms(use_true_random=False))
@DRAWN
def test_the_order_of_settings_is_irrelevant(given: dict[str, Any], random: Any) -> None:
    names = list(given)
    random.shuffle(names)
    assert trial(**{name: given[name] for name in names}).id == trial(**given).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"batch_size": 32.0}, {"batch_size": 32}),
        ({"dropout": 0}, {"dropout": 0.0}),
        ({"weight_decay": -0.0}, {"weight_decay": 0}),
        ({"seed": 7.0}, {"seed": 7}),
        ({"units": None}, {}),
    ],
)
def test_equal_numbers_are_one_trial(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert trial(**one).id == trial(**other).id
    assert len({trial(**one), trial(**other)}) == 1


@given(SETTINGS, SETTINGS)
@DRAWN
def test_ids_agree_just_where_contents_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    a, b = trial(**one), trial(**other)
    assert (a.id == b.id) == (a.settings == b.settings) == (a == b)
    assert len(a.id) == 12
    assert set(a.id) <= set("0123456789abcdef")


def test_the_data_belong_in_the_id() -> None:
    ids = {
        Trial.create({}, data).id
        for data in (DATA, {**DATA, "precision": "float64"}, {**DATA, "data": "x"})
    }
    assert len(ids) == 3
    assert Trial.create({}, dict(reversed(DATA.items()))).id in ids


def test_pinned_ids() -> None:
    # Other ids orphan every run directory there is. If a change is meant to do that, raise
    # trial.VERSION and change these with it.
    assert trial().id == "7212a9ee8d3c"
    content = {"model": "mlp", "optimizer": "momentum", "learning_rate": 0.1, "seed": 3}
    assert trial(**content).id == "01d768dae20f"


@given(SETTINGS)
@DRAWN
def test_json_round_trip(given: dict[str, Any]) -> None:
    found = trial(**given)
    back = Trial.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert back == found
    assert {k: type(v) for k, v in back.settings.items()} == {
        k: type(v) for k, v in found.settings.items()
    }
    assert Trial.create(back.settings, DATA) == found


def test_tuples_survive_json() -> None:
    found = trial(features=[8, 16.0])
    assert found["features"] == (8, 16)
    assert Trial.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 1),
        ("filter_dropout", -0.1),
        ("features", 0),
        ("features", (8, 16)),
        ("kernel", -3),
        ("units", 0),
        ("pool", 0),
        ("taper", 0),
        ("dense_layers", -1),
        ("activation", "rleu"),
        ("padding", "same"),
        ("pool_kind", "maximum"),
    ],
)
def test_what_the_model_refuses_names_trial_and_hyperparameter(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        trial(**{name: value}).layers(10)
    message = str(caught.value)
    assert message.startswith(f"trial {trial(**{name: value}).id}: ")
    assert name in message
    assert "\n" not in message


def test_layers_are_the_models() -> None:
    made = trial(features=4, dropout=0.25).layers(3)
    assert made == zoo.stack(3, features=4, dropout=0.25)
    assert Dropout(0.25) in flat(made)


def test_describe_shows_what_is_active() -> None:
    found = trial(learning_rate=1e-3, features=16, optimizer="sgd")
    names = ("features", "learning_rate", "beta1", "optimizer")
    assert found.describe(names) == "features=16 learning_rate=0.001 optimizer=sgd"


def test_a_trial_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        trial().id = "0"  # type: ignore[misc]
