"""How many lanes are compiled for, by made-up programs that need what they are said to need."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from bench import host, memory
from bench.errors import ConvoyError
from bench.memory import SHARE, OutOfMemoryError, fitted
from bench.plan import ProgramPlan
from bench.trial import Trial

TRIAL = Trial.create({}, {})


def plan(lanes: int, trials: int = 0, strategy: str = "vmap") -> ProgramPlan:
    return ProgramPlan(
        id="p",
        layers=(),
        padded=False,
        microbatch=8,
        batch_sizes=(8,),
        augment=False,
        optimizers=("adam",),
        trials=tuple(map(str, range(trials or lanes))),
        lanes=lanes,
        steps=1,
        strategy=strategy,
        evaluation_batch=8,
        parameters=1,
        flops_per_example=1,
        compile_s=1.0,
        train_s=1.0,
        waste=0.0,
    )


class Maker:
    """Makes lanes that need, on each device, `fixed` bytes and `each` for each lane there."""

    def __init__(self, each: int, fixed: int = 0, devices: int = 1):
        self.each, self.fixed, self.devices = each, fixed, devices
        self.compiled: list[int] = []

    def __call__(self, plan: ProgramPlan) -> Any:
        mesh = SimpleNamespace(shape={"lanes": self.devices, "batch": 1})
        lanes = SimpleNamespace(
            program=plan,
            data=SimpleNamespace(mesh=mesh),
            compile_s=0.0,
            bytes_needed=None,
            lane_bytes=None,
        )

        def compile_(trial: Trial) -> None:
            assert trial is TRIAL
            assert plan.lanes % self.devices == 0
            self.compiled.append(plan.lanes)
            lanes.compile_s = 2.0
            lanes.bytes_needed = self.fixed + self.each * plan.lanes // self.devices
            lanes.lane_bytes = self.each

        lanes.compile = compile_
        return lanes


def test_what_fits_is_compiled_once() -> None:
    make = Maker(each=10)
    lanes = fitted(plan(4), TRIAL, make, free=40)
    assert (make.compiled, lanes.program, lanes.compile_s) == ([4], plan(4), 2.0)


@pytest.mark.parametrize("strategy", ["map", "vmap"])
@pytest.mark.parametrize(("devices", "found"), [(1, 5), (2, 10), (4, 20)])
def test_what_does_not_fit_is_compiled_for_fewer_lanes(
    strategy: str, devices: int, found: int
) -> None:
    make = Maker(each=10, devices=devices)
    lanes = fitted(plan(40 * devices, strategy=strategy), TRIAL, make, free=50)
    assert make.compiled == [40 * devices, found]
    assert lanes.program == replace(plan(40 * devices, strategy=strategy), lanes=found)
    assert lanes.compile_s == 4.0  # both times


def test_in_turn_only_the_states_grow_with_the_lanes() -> None:
    make = Maker(each=10, fixed=30)
    assert fitted(plan(40, strategy="map"), TRIAL, make, free=100).program.lanes == 7
    assert make.compiled == [40, 7]


def test_an_estimate_that_was_too_low_is_mended_again() -> None:
    """Side by side, what does not grow with the lanes makes a share of the lanes too many."""
    make = Maker(each=10, fixed=30)
    lanes = fitted(plan(40), TRIAL, make, free=100)
    assert lanes.bytes_needed <= 100
    assert make.compiled == [40, 9, 7]
    assert lanes.compile_s == 6.0


def test_it_ends_where_lanes_give_back_almost_nothing() -> None:
    make = Maker(each=1, fixed=98)
    assert fitted(plan(5), TRIAL, make, free=100).program.lanes == 2
    assert make.compiled == sorted(set(make.compiled), reverse=True)


@pytest.mark.parametrize(
    ("trials", "free", "found"),
    [
        (100, 59, [4]),  # 5 lanes are not worth another compilation
        (100, 60, [4, 6]),
        (100, 1000, [4, 100]),
        (5, 1000, [4]),  # no more than there are trials
        (6, 1000, [4, 6]),
    ],
)
def test_side_by_side_it_grows_where_that_is_worth_it(
    trials: int, free: int, found: list[int]
) -> None:
    make = Maker(each=10)
    assert fitted(plan(4, trials), TRIAL, make, free).program.lanes == found[-1]
    assert make.compiled == found
    fixed = Maker(each=10)
    assert fitted(plan(4, trials), TRIAL, fixed, free, fixed=True).program.lanes == 4
    in_turn = Maker(each=10)
    assert fitted(plan(4, trials, "map"), TRIAL, in_turn, free).program.lanes == 4


def test_growth_is_whole_devices() -> None:
    make = Maker(each=10, devices=4)
    assert fitted(plan(4, 9), TRIAL, make, 1000).program.lanes == 12


def test_what_has_grown_too_far_shrinks_and_stays() -> None:
    """XLA may plan more for many lanes than a share of the few says."""

    class Growing(Maker):
        def __call__(self, plan: ProgramPlan) -> Any:
            self.each = 10 if plan.lanes <= 8 else 20
            return super().__call__(plan)

    make = Growing(each=10)
    assert fitted(plan(4, 100), TRIAL, make, 200).program.lanes == 10
    assert make.compiled == [4, 20, 10]


def test_a_fixed_number_of_lanes_may_shrink() -> None:
    make = Maker(each=10)
    assert fitted(plan(10), TRIAL, make, 50, fixed=True).program.lanes == 5


@pytest.mark.parametrize("strategy", ["map", "vmap"])
@pytest.mark.parametrize("devices", [1, 2])
def test_one_lane_on_each_device_is_too_much(strategy: str, devices: int) -> None:
    make = Maker(each=3_000_000_000, fixed=120_000_000, devices=devices)
    with pytest.raises(OutOfMemoryError) as caught:
        fitted(plan(4, strategy=strategy), TRIAL, make, free=1_500_000_000)
    assert make.compiled[-1] == devices
    error = caught.value
    assert isinstance(error, ConvoyError)
    assert (error.needed, error.available) == (3_120_000_000, 1_500_000_000)
    assert str(error).startswith("needs at least 3.12 GB of memory where 1.5 GB are free; use a ")
    assert "\n" not in str(error)


def test_what_cannot_fit_is_not_compiled() -> None:
    """A lane holds its parameters, their gradient and more."""
    make, large = Maker(each=0), replace(plan(4), parameters=1_000_000)
    with pytest.raises(OutOfMemoryError, match="needs at least"):
        fitted(large, TRIAL, make, free=memory.LEAST_COPIES * 4_000_000 - 1)
    assert make.compiled == []
    assert fitted(large, TRIAL, make, free=memory.LEAST_COPIES * 4_000_000)


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_a_program_whose_needs_are_unknown(strategy: str) -> None:
    """XLA does not say: all planned lanes, or as many as there are trials."""
    make = Maker(each=0)
    lanes = fitted(plan(4, 6, strategy), TRIAL, make, free=10)
    assert lanes.program.lanes == (6 if strategy == "vmap" else 4)


# What is free


def test_the_devices_of_a_cpu_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "free_bytes", lambda: 1000)
    device = jax.devices("cpu")[0]
    assert memory.free_bytes(device, 1) == SHARE * 1000
    assert memory.free_bytes(device, 4) == SHARE * 250


def test_another_device_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "free_bytes", lambda: 1000)
    stats = {"bytes_limit": 500, "bytes_in_use": 100}
    device: Any = SimpleNamespace(platform="gpu", memory_stats=lambda: stats)
    assert memory.free_bytes(device, 4) == SHARE * 400
    silent: Any = SimpleNamespace(platform="gpu", memory_stats=lambda: None)
    assert memory.free_bytes(silent, 4) == SHARE * 250
