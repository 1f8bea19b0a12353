"""Few trials on a CPU: the devices that they leave idle share their examples."""

import io
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import host
from bench.directory import read_plan
from bench.options import Options
from bench.planner import LEAST_SHARE, Planner, shares
from bench.search import Fixed
from bench.trial import Trial
from tests.resumed import cache, interrupted, sweep  # noqa: F401
from tests.test_plan import trial

RATE = {"learning_rate": (1e-3,)}


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 2048))
@settings(deadline=None, database=None)
def test_what_devices_and_batch_allow(devices: int, cores: int, batch: int) -> None:
    found = shares(devices, cores, batch)
    assert found[0] == 1
    more = [n for n in range(2, 65) if devices % n == 0 and n <= cores and n * LEAST_SHARE <= batch]
    assert found[1:] == more


SIZES = SimpleNamespace(image_shape=(28, 28, 1), classes=10, train=range(50_000), evaluated=20_000)
CNN = {"features": 16, "units": 64}


def chosen(tmp_path, trials: Sequence[Trial], **options) -> int:
    """Devices of eight that share a lane, by the plan that touches none."""
    how = Options(tmp_path, cache_dir=None, devices=8, **options)
    return Planner(how, SIZES, Fixed(trials), print).untouched().machine.shares


@pytest.mark.parametrize(
    ("given", "trials", "share"),
    [
        (CNN | {"batch_size": 256}, 1, 8),
        (CNN | {"batch_size": 64}, 1, 4),  # 16 examples each
        (CNN | {"batch_size": 31}, 1, 1),
        (CNN | {"batch_size": 256}, 3, 2),
        (CNN | {"batch_size": 256}, 5, 4),  # three and two, each in a quarter of the time
        (CNN | {"batch_size": 256}, 7, 1),
        (CNN | {"batch_size": 256}, 8, 1),
        (CNN | {"batch_size": 256}, 40, 1),
        (
            {"model": "mlp", "units": 512, "batch_size": 64},
            1,
            1,
        ),  # much to exchange, little to compute
    ],
)
def test_as_many_devices_to_a_lane_as_pay(
    tmp_path, monkeypatch, given: dict, trials: int, share: int
) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8)
    assert chosen(tmp_path, [trial(**given, seed=s) for s in range(trials)]) == share


def test_programs_of_a_trial_each_take_turns(tmp_path, monkeypatch) -> None:
    """So that the devices are as idle as with one trial."""
    monkeypatch.setattr(host, "cores", lambda: 8)
    given = CNN | {"batch_size": 256}
    kernels = [trial(**given, kernel=k) for k in (2, 3, 5)]
    assert chosen(tmp_path, kernels, plan="separate") == 8


def test_what_is_asked_for_is_done(tmp_path) -> None:
    assert chosen(tmp_path, [trial(**CNN, batch_size=256)], batch_devices=2) == 2


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cores", lambda: 4)


def run(workdir, space=RATE, **options) -> tuple:
    said = io.StringIO()
    _, results = sweep(
        workdir, space=space, said=said, lanes=0, devices=4, changes={"trial": {"batch_size": 64}}, **options
    )  # fmt: skip
    plan = read_plan(workdir).plan
    return results, (plan.machine.devices, plan.machine.shares), said.getvalue()


def cut(workdir) -> None:
    """The run of `RATE`, interrupted in its second dispatch."""
    interrupted(workdir, 2, space=RATE, lanes=0, devices=4, changes={"trial": {"batch_size": 64}})


def assert_agree(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=1e-9, err_msg=name)


@pytest.mark.usefixtures("cores")
def test_a_trial_alone_has_all_devices_and_ends_as_on_one(tmp_path) -> None:
    """Dropout's draws are those of the examples, wherever they are."""
    together, mesh, _ = run(tmp_path / "together")
    assert mesh == (1, 4)
    apart, mesh, _ = run(tmp_path / "apart", batch_devices=1)
    assert mesh == (4, 1)
    (one,), (other,) = (results.trials.values() for results in (together, apart))
    assert_agree(one.metrics, other.metrics)


@pytest.mark.usefixtures("cores")
def test_a_run_that_grows_past_its_devices_says_that_they_no_longer_share(tmp_path) -> None:
    first, *_ = run(tmp_path / "grown")
    results, mesh, said = run(tmp_path / "grown", {"learning_rate": (1e-3, 2e-3, 3e-3)})
    assert mesh == (4, 1)
    assert "batch_devices: 4 there, 1 here" in said
    assert len(results.trials) == 3
    assert {r.status for r in results.trials.values()} == {"completed"}
    (name,) = first.trials
    assert results.trials[name].metrics == first.trials[name].metrics


@pytest.mark.usefixtures("cores")
def test_a_trial_goes_on_where_devices_no_longer_share(tmp_path) -> None:
    whole, *_ = run(tmp_path / "whole")
    cut(tmp_path / "run")
    results, mesh, _ = run(tmp_path / "run", {"learning_rate": (1e-3, 2e-3, 3e-3)})
    assert mesh == (4, 1)
    ((name, record),) = whole.trials.items()
    assert_agree(record.metrics, results.trials[name].metrics)


@pytest.mark.usefixtures("cores")
def test_a_run_goes_on_as_it_began(tmp_path) -> None:
    """To the bit, and without a word."""
    whole, *_ = run(tmp_path / "whole")
    cut(tmp_path / "run")
    results, mesh, said = run(tmp_path / "run")
    assert mesh == (1, 4)
    assert "not as the run began" not in said
    assert [r.metrics for r in results.trials.values()] == [
        r.metrics for r in whole.trials.values()
    ]
