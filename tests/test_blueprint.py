"""`plan.json` reads back as it was, whatever the architectures; damaged or newer, it is one clear line."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from bench import blueprint as blueprints
from bench import layers as kinds
from bench.blueprint import Blueprint, decisions, layers_from_json, layers_to_json
from bench.costs import default
from bench.directory import read_plan
from bench.errors import ConfigError, ConvoyError
from bench.plan import plan
from bench.record import RecordError
from tests.families import families
from tests.test_plan import CPU, DIGITS, SWEEPS

FLAGS = {"devices": 0, "lanes": 0, "strategy": "auto"}


def blueprint(trials) -> Blueprint:
    found = plan(trials, DIGITS, replace(CPU, shares=2), costs=default("cpu"))
    decided = {p.id: decisions(p) | {"lowerings": {"dense 3": "dot"}} for p in found.programs[::2]}
    return Blueprint(found, decided, FLAGS, {"chip": "a chip", "kernels": None})


@drawn(deadline=None, max_examples=30, database=None)
@given(SWEEPS)
def test_round_trip(trials) -> None:
    before = blueprint(trials)
    after = Blueprint.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before
    assert after.devices == 2 * CPU.devices
    assert all(after.plan.home(trial) == before.plan.home(trial) for trial in trials)


@drawn(deadline=None, max_examples=50, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(families())
def test_any_architecture(family) -> None:
    _, members = family
    for layers in members:
        assert layers_from_json(json.loads(json.dumps(layers_to_json(layers)))) == layers


def test_every_kind_of_layer() -> None:
    found = {
        name
        for name, kind in vars(kinds).items()
        if isinstance(kind, type) and issubclass(kind, kinds.Layer) and not name.startswith("_")
    }
    assert found - {"Layer"} == set(blueprints._BY_NAME)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": 1}', "[" * 100_000, '{"schema": 2, "programs": 3}']
)
def test_a_damaged_plan_says_what_to_do(tmp_path, content) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(RecordError) as caught:
        read_plan(tmp_path)
    assert "is damaged" in str(caught.value)
    assert "planned anew" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_newer_plan_is_refused(tmp_path) -> None:
    (tmp_path / "plan.json").write_text('{"schema": 99}')
    with pytest.raises(RecordError, match=r"plan.json is of schema 99, this Convoy knows up to"):
        read_plan(tmp_path)
    assert read_plan(tmp_path / "nothing") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@drawn(deadline=None, max_examples=300, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), trials=SWEEPS)
def test_whatever_is_in_it_only_our_own_error_comes_out(tmp_path, data, trials) -> None:
    content = blueprint(trials[:2]).to_json()
    place = content
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JSON)
        break
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with contextlib.suppress(ConvoyError):
        read_plan(tmp_path)


def test_what_is_no_layer_is_refused() -> None:
    for wrong in ([3], ["Conv"], [["Conv", {"features": -1}]], [["Nothing", {}]]):
        with pytest.raises((ConfigError, TypeError)):
            layers_from_json(wrong)
