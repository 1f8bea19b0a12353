"""Arithmetic that can be done by hand, and the counts held against XLA's."""

from dataclasses import replace

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import costs, mesh, roofline
from bench.layers import Dense, Flatten
from bench.roofline import Bound, Work
from tests.fused import compiled, make, planned

# 6 numbers → 4 → 3: 24 + 12 multiply-adds forward; 28 + 15 parameters.
LAYERS = (Flatten(), Dense(4), Dense(3))
SHAPE = (2, 3, 1)
PARAMETERS, FORWARD = 4 * 7 + 3 * 5, 2 * (24 + 12)
positive = st.floats(1e-3, 1e15)


def of(optimizers=("adam",), batch_sizes=(32,), microbatch=32, **changes) -> Work:
    return roofline.work(LAYERS, SHAPE, microbatch, batch_sizes, optimizers, **changes)


def test_flops_are_those_of_the_matrices_three_times() -> None:
    assert of().flops == 3 * 32 * FORWARD
    # Nothing else that is computed is work that somebody asked for.
    assert of(augment=True, beside=True, optimizers=("adam", "sgd")).flops == of().flops
    assert of(augment=True).bytes > of().bytes


def test_bytes_are_the_planners() -> None:
    iteration = costs.iteration(LAYERS, SHAPE, 32).bytes
    adam = 4 * PARAMETERS * (3 + 2 * 2)
    assert of().bytes == iteration + adam
    assert of().intensity == of().flops / (iteration + adam)


def test_in_turn_a_lane_pays_for_its_own_update_and_beside_for_all() -> None:
    adam, sgd = (4 * PARAMETERS * touched for touched in (7, 3))
    iteration = costs.iteration(LAYERS, SHAPE, 32).bytes
    assert of(("adam", "sgd")).bytes == iteration + (adam + sgd) / 2
    beside = costs.iteration(LAYERS, SHAPE, 32, beside=True).bytes
    assert of(("adam", "sgd"), beside=True).bytes == beside + adam + sgd


def test_an_update_after_several_microbatches_is_shared_by_them() -> None:
    adam = 4 * PARAMETERS * 7
    iteration = costs.iteration(LAYERS, SHAPE, 16, accumulates=True).bytes
    assert of(batch_sizes=(64,), microbatch=16).bytes == iteration + adam / 4
    assert of(batch_sizes=(16, 64), microbatch=16).bytes == iteration + adam * (1 + 1 / 4) / 2
    beside = costs.iteration(LAYERS, SHAPE, 16, accumulates=True, beside=True).bytes
    assert of(batch_sizes=(64,), microbatch=16, beside=True).bytes == beside + adam


def test_the_roof_is_memorys_until_the_balance_and_then_flat() -> None:
    peaks = {"flops_per_s": 100.0, "bytes_per_s": 20.0}  # in balance at 5 FLOP/B
    assert roofline.bound(2.5, **peaks) == Bound("memory", 50.0)
    assert roofline.bound(5.0, **peaks) == Bound("compute", 100.0)
    assert roofline.bound(50.0, **peaks) == Bound("compute", 100.0)


@given(positive, positive, positive, positive)
def test_the_roof_is_no_higher_than_either_and_never_falls(a, b, flops_per_s, bytes_per_s) -> None:
    low, high = sorted((a, b))
    under = [roofline.bound(i, flops_per_s, bytes_per_s) for i in (low, high)]
    assert under[0].flops_per_s <= under[1].flops_per_s <= flops_per_s
    assert under[0].flops_per_s == min(flops_per_s, low * bytes_per_s)
    assert (under[0].kind, under[1].kind) != ("compute", "memory")


def counts(dataset, lanes, steps, strategy="map", devices=1, batch=1, **settings):
    """A program's counts of one iteration of one lane."""
    trials = [
        make({"model": "mlp", "units": 32, "seed": seed, **settings}) for seed in range(lanes)
    ]
    plan = replace(planned(trials, dataset, lanes, strategy, devices // batch), steps=steps)
    return compiled(plan, trials[0], dataset, devices, batch).work()


def test_xla_counts_an_iteration_of_a_lane_once_however_the_lanes_lie(digits) -> None:
    """It counts a loop's body once: the number of steps is not to be seen, nor that of lanes in turn."""
    one = counts(digits, lanes=1, steps=3)
    assert one["xla_flops"] == pytest.approx(one["flops_per_iteration"], rel=0.4)
    for lanes, steps, strategy, devices, batch in (
        (1, 1, "map", 1, 1), (4, 3, "map", 2, 1), (4, 3, "vmap", 2, 1), (1, 3, "map", 2, 2),
    ):  # fmt: skip
        other = counts(digits, lanes, steps, strategy, devices, batch)
        assert other["xla_flops"] == pytest.approx(one["xla_flops"], rel=0.25)
        assert other["flops_per_iteration"] == one["flops_per_iteration"]


def test_what_xla_does_not_count_is_unknown() -> None:
    class Executable:
        def __init__(self, analysis):
            self.cost_analysis = lambda: analysis

    for analysis in (None, {}, {"flops": -1.0, "bytes accessed": 0.0}):
        assert mesh.counted(Executable(analysis)) == (None, None)
    assert mesh.counted(Executable({"flops": 8.0, "bytes accessed": 2.0})) == (8.0, 2.0)
    product = jax.jit(lambda a: a @ a).lower(jax.ShapeDtypeStruct((64, 64), "float32")).compile()
    assert mesh.counted(product)[0] == 2 * 64**3
