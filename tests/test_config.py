import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from bench import hyperparameters
from bench.config import (
    Settings,
    benchmark,
    defaults,
    differences,
    resolve,
    resolve_benchmark,
    suggestion,
)
from bench.data import DataOptions
from bench.errors import ConfigError
from bench.precision import PRECISIONS
from bench.space import Choice, log_uniform, parse_axis, uniform
from bench.suite import Benchmark
from bench.trial import Trial

PARTS = ("data", "trial", "space", "search", "budget")


def changed(**parts: Any) -> Settings:
    """Resolves the defaults with some keys replaced."""
    config = defaults()
    for name, value in parts.items():
        config[name] = value
    return resolve(config)


def refused(config: Any, axes: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(config, axes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def loose(**parts: Any) -> ConfigDict:
    """A config as careless code makes one: of no fixed types."""
    return ConfigDict({**defaults().to_dict(), **parts})


# Defaults


def test_defaults_resolve() -> None:
    found = resolve(defaults())
    assert found.dataset == "digits"
    assert found.data == DataOptions()
    assert found.space == {}
    assert found.search == {"method": "grid", "trials": 0, "seed": 0}
    assert (found.seconds, found.precision) == (0.0, "float32")
    assert Trial.create(found.trial, {}) == Trial.create({}, {})


def test_every_hyperparameter_can_be_set() -> None:
    assert set(defaults().trial) == hyperparameters.known()


@pytest.mark.parametrize("name", sorted(hyperparameters.known()))
def test_a_hyperparameter_takes_its_type_on_the_command_line(name: str) -> None:
    """config_flags asks for the field's type, which a placeholder keeps."""
    trial = defaults().trial
    rules = hyperparameters.COMMON
    if name in rules:
        assert trial[name] == rules[name].default
    else:
        assert trial[name] is None
    wanted = trial.get_type(name)
    trial[name] = wanted("1")
    with pytest.raises((TypeError, ValueError)):
        trial[name] = {"a": 1}


def test_defaults_are_fresh() -> None:
    one = defaults()
    one.trial.epochs = 99
    one.space = {"features": (1, 2)}
    assert defaults().trial.epochs == hyperparameters.COMMON["epochs"].default
    assert resolve(defaults()).space == {}


# What is refused


@pytest.mark.parametrize(
    ("part", "key", "meant"),
    [
        (None, "datset", "config.datset: did you mean 'dataset'?"),
        (None, "sarch", "config.sarch: did you mean 'search'?"),
        ("data", "limt", "config.data.limt: did you mean 'limit'?"),
        ("search", "trails", "config.search.trails: did you mean 'trials'?"),
        ("budget", "second", "config.budget.second: did you mean 'seconds'?"),
        ("trial", "learnig_rate", "'learnig_rate': did you mean 'learning_rate'?"),
        ("space", "featurs", "'featurs': did you mean 'features'?"),
    ],
)
def test_unknown_keys_name_the_nearest(part: str | None, key: str, meant: str) -> None:
    config = defaults()
    with config.unlocked():
        (config[part] if part else config)[key] = 1
    message = refused(config)
    assert message.startswith("unknown ")
    assert message.endswith(meant)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (loose(dataset=3), "config.dataset=3"),
        (loose(dataset=None), "config.dataset=None"),
        (loose(precision=32), "config.precision=32"),
        (loose(precision="float16"), "float32, tf32, bfloat16, float64"),
        *((loose(**{part: None}), f"config.{part}=None must be a dict") for part in PARTS),
        *((loose(**{part: "grid"}), f"config.{part}='grid' must be a dict") for part in PARTS),
        (loose(search={"trials": 2.5}), "config.search.trials=2.5"),
        (loose(search={"trials": True}), "config.search.trials=True"),
        (loose(search={"method": 1}), "config.search.method=1"),
        (loose(search={"seed": "0"}), "config.search.seed='0'"),
        (loose(budget={"seconds": "1h"}), "config.budget.seconds='1h'"),
        (loose(budget={"seconds": True}), "config.budget.seconds=True"),
        (loose(budget={"seconds": -1}), "budget.seconds"),
        (loose(budget={"seconds": float("nan")}), "budget.seconds"),
        (loose(budget={"seconds": float("inf")}), "budget.seconds"),
        (loose(data={"limit": 4.5}), "config.data.limit=4.5"),
        (loose(data={"limit": -1}), "config.data.limit=-1"),
        (loose(data={"classes": "ab"}), "config.data.classes='ab'"),
        (loose(data={"test_fraction": 1}), "config.data.test_fraction=1"),
        (loose(space={"features": ()}), "at least one value"),
        (loose(space={"features": "uniform(1, 0)"}), "uniform(1, 0)"),
        ({"dataset": "digits"}, "must return a ConfigDict"),
        (None, "must return a ConfigDict"),
    ],
)
def test_wrong_kinds(config: Any, words: str) -> None:
    assert words in refused(config)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("features", "--axis='features' is not name=expression"),
        ("=3", "--axis='=3' is not name=expression"),
        ("", "--axis='' is not name=expression"),
        ("featurs=3", "did you mean 'features'?"),
        ("features=", "cannot read the axis ''"),
        ("features=__import__('os')", "__import__"),
        ("features=unifrm(1, 2)", "did you mean 'uniform'?"),
    ],
)
def test_wrong_axes(axis: str, words: str) -> None:
    assert words in refused(defaults(), (axis,))


# A benchmark's


def test_a_benchmark_by_default_and_changed() -> None:
    assert resolve_benchmark(benchmark()) == (Benchmark(), "float32")
    config = benchmark()
    config.benchmark.update(seconds=30, entries=("vgg",))
    config.precision = "float64"
    assert resolve_benchmark(config) == (Benchmark(seconds=30, entries=("vgg",)), "float64")
    little = ConfigDict({"benchmark": {"lanes": 3}})
    assert resolve_benchmark(little) == (Benchmark(lanes=3), "float32")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"benchmark": {"second": 3}}, "config.benchmark.second: did you mean 'seconds'?"),
        ({"benchmark": {}, "trial": {}}, "unknown key config.trial"),
        ({"benchmark": None}, "config.benchmark=None must be a dict"),
        ({"benchmark": {"seconds": "long"}}, "config.benchmark.seconds='long'"),
        ({"benchmark": {"lanes": 2.5}}, "config.benchmark.lanes=2.5"),
        ({"benchmark": {"lanes": True}}, "config.benchmark.lanes=True"),
        ({"benchmark": {"entries": "tiny"}}, "config.benchmark.entries='tiny'"),
        ({"benchmark": {}, "precision": "float8"}, "float32, tf32, bfloat16, float64"),
    ],
)
def test_what_a_benchmark_refuses(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_benchmark(ConfigDict(config))
    assert words in str(caught.value)


# What is kept


def test_a_part_may_be_replaced_by_less() -> None:
    found = changed(
        data={"limit": 7},
        trial={"features": 3},
        search={"method": "random", "trials": 5},
        budget={},
    )
    assert found.data == DataOptions(limit=7)
    assert found.search == {"method": "random", "trials": 5, "seed": 0}
    assert found.seconds == 0
    assert Trial.create(found.trial, {}) == Trial.create({"features": 3}, {})
    assert resolve(ConfigDict()) == resolve(defaults())


def test_axes_add_to_the_space_and_replace_in_it() -> None:
    config = defaults()
    config.space = {"features": (8, 16), "units": [4, 8], "optimizer": "adam"}
    axes = ["learning_rate=log_uniform(1e-4, 1e-1)", " features = (1, 2)", "features=(3,)"]
    found = resolve(config, axes).space
    assert found == {
        "features": Choice((3,)),
        "units": Choice((4, 8)),
        "optimizer": Choice(("adam",)),
        "learning_rate": log_uniform(1e-4, 1e-1),
    }
    assert list(found) == ["features", "optimizer", "units", "learning_rate"], "a ConfigDict sorts"
    assert next(iter(resolve(config).space.values())) == Choice((8, 16)), "the config is unchanged"


def test_a_space_may_hold_axes_and_their_text() -> None:
    found = changed(space={"dropout": uniform(0, 0.5), "learning_rate": "uniform(0.1, 1)"}).space
    assert found == {"dropout": uniform(0, 0.5), "learning_rate": uniform(0.1, 1)}


# JSON


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.fixed_dictionaries(
                {}, optional={"limit": st.integers(0, 99), "classes": st.just((1, "cat"))}
            ),
            "trial": st.fixed_dictionaries(
                {},
                optional={
                    "epochs": st.integers(1, 9),
                    "dropout": st.floats(0, 0.9),
                    "momentum": st.none() | st.floats(0, 0.9),
                    "features": st.just((8, 16)),
                },
            ),
            "space": st.fixed_dictionaries(
                {},
                optional={
                    "units": st.lists(st.integers(1, 9), min_size=1).map(tuple),
                    "optimizer": st.just(("adam", "sgd")),
                    "learning_rate": st.just(log_uniform(1e-4, 1)),
                },
            ),
            "budget": st.fixed_dictionaries({}, optional={"seconds": st.floats(0, 1e6)}),
            "precision": st.sampled_from(sorted(PRECISIONS)),
        },
    )
)
@settings(deadline=None, max_examples=25, database=None)
def test_what_is_saved_makes_the_same_settings(parts: dict[str, Any]) -> None:
    found = resolve(loose(**parts))
    saved = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert saved == json.loads(json.dumps(resolve(loose(**parts)).to_json())), "stable"
    again = resolve(ConfigDict(saved))
    assert again.to_json() == found.to_json()
    assert differences(saved, json.loads(json.dumps(again.to_json()))) == []
    given = {k: v for k, v in found.trial.items() if v is not None}
    assert Trial.create(again.trial, {}) == Trial.create(given, {})
    assert again.space == found.space
    assert again.data == found.data


def test_axes_are_saved_as_their_expressions() -> None:
    saved = changed(space={"features": (8, 16), "units": (4,)}).to_json()["space"]
    assert saved == {"features": "choice(8, 16)", "units": "choice(4)"}
    assert parse_axis(saved["features"]) == Choice((8, 16))


def test_differences() -> None:
    old = {"a": 1, "b": {"c": 2, "d": {"e": [3]}}, "gone": 4}
    new = {"a": 1.0, "b": {"c": 5, "d": {"e": [3, 4]}}, "new": {"x": 1}}
    assert differences(old, new) == [
        "b.c: 2 there, 5 here",
        "b.d.e: [3] there, [3, 4] here",
        "gone: 4 there, not given here",
        "new: not given there, {'x': 1} here",
    ]


@given(
    st.recursive(
        st.integers(0, 2),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
        max_leaves=6,
    ).filter(lambda v: isinstance(v, dict)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
)
@settings(deadline=None, max_examples=60, database=None)
def test_differences_are_none_just_where_configs_agree(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert differences(old, old) == []
    assert (differences(old, new) == []) == (old == new)
    assert len(differences(old, new)) == len(differences(new, old))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("config.trial.epoch", "config.trial.epochs"),
        ("config.serch.method", "config.search.method"),
        ("config.datset", "config.dataset"),
        ("config.benchmark.entrys", "config.benchmark.entries"),
    ],
)
def test_suggestion(wrong: str, meant: str) -> None:
    assert suggestion(wrong) == f"did you mean {meant!r}?"
    assert "--help" in suggestion("zzzzzz")
