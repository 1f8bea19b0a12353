from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import layers as arch
from bench import padding
from bench.cells import Cell, without_rates
from bench.costs import Machine, Workload, default
from bench.estimate import Estimate, executable
from bench.layers import (
    Activation,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layers,
    Residual,
)
from bench.partition import THRESHOLDS, Group
from bench.plan import plan
from bench.trial import Trial

DRAWN = settings(deadline=None, max_examples=20, database=None)
DIGITS = Workload((8, 8, 1), 10, 1000)
MNIST = Workload((28, 28, 1), 10, 60_000)
COSTS = default("cpu")


def trial(**given: Any) -> Trial:
    return Trial.create(given, {})


def architecture(widths: tuple[int, int, int], depth: int, name: str, rate: float) -> Layers:
    first, second, third = widths
    block = (Dense(third), Activation(name), Dropout(rate))
    return (
        Conv(first),
        Branch(((Conv(second), Activation(name)), (Conv(first, 1),))),
        Residual((Conv(second), BatchNorm()), (Conv(second, 1),)),
        Flatten(),
        Blocks((block,) * depth),
        Dense(10),
    )


ARCHITECTURES = st.builds(
    architecture,
    st.tuples(*[st.integers(1, 5)] * 3),
    st.integers(1, 3),
    st.sampled_from(("relu", "tanh", "gelu")),
    st.sampled_from((0.0, 0.1, 0.5)),
)


def cell_of(
    layers: Layers, batch_size: int = 8, family: str = "sgd", augment: bool = False
) -> Cell:
    return Cell(without_rates(layers, padding.SOME), batch_size, family, augment, [trial()])


CELLS = st.lists(
    st.builds(
        cell_of,
        ARCHITECTURES,
        st.sampled_from((8, 12, 16, 48)),
        st.sampled_from(("adam", "lion", "sgd")),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def group(cells: list[Cell]) -> Group:
    return Group(
        cells, DIGITS, lambda e: Estimate(e, DIGITS, Machine("cpu", 1, 8 << 30), COSTS, "map")
    )


@given(CELLS, st.data())
@DRAWN
def test_a_few_of_a_parts_cells_need_what_all_need(found: list[Cell], data: st.DataObject) -> None:
    """Estimates are of the cells that are largest in some column; they must be those of all."""
    members = data.draw(st.sets(st.sampled_from(range(len(found))), min_size=1).map(sorted))
    part = group(found).part(np.array(members))
    assert part.cells == [found[m] for m in members]
    assert part.estimate.executable == executable(part.cells)
    # Every width and every block has parameters here.
    numbers = {arch.parameters(c.layers, DIGITS.image_shape) for c in part.cells}
    assert part.padded == (numbers != {part.estimate.size.parameters})


@given(CELLS)
@DRAWN
def test_splits_part_at_one_thing_and_none_comes_twice(found: list[Cell]) -> None:
    whole = np.arange(len(found))
    pairs = list(group(found).splits(whole))
    assert len({tuple(sorted(map(tuple, pair))) for pair in pairs}) == len(pairs)
    for low, high in pairs:
        assert len(low) > 0
        assert len(high) > 0
        assert sorted([*low, *high]) == list(whole)
    for name in ("batch_size", "family"):  # each by itself is among them
        for value in {getattr(c, name) for c in found}:
            alone = tuple(m for m in whole if getattr(found[m], name) == value)
            if len(alone) < len(found):
                assert any(alone in (tuple(low), tuple(high)) for low, high in pairs)


def test_many_values_are_cut_at_a_few_places() -> None:
    found = group([cell_of((Flatten(), Dense(n), Dense(10))) for n in range(1, 100)])
    pairs = list(found.splits(np.arange(99)))
    assert len(pairs) == THRESHOLDS
    assert [len(low) for low, _ in pairs] == [11 * n for n in range(1, 9)]


# Memory


@pytest.mark.parametrize("mode", ["cost", "fewest"])
def test_what_is_too_large_for_memory_stays_alone(mode: str) -> None:
    trials = [trial(features=f, units=8, seed=s) for f in (4, 8, 800, 900) for s in (0, 1)]
    found = plan(trials, DIGITS, Machine("cpu", 1, 64 << 20), mode=mode).programs
    ids = [t.id for t in trials]
    assert {p.trials for p in found} == {tuple(ids[:4]), tuple(ids[4:6]), tuple(ids[6:])}


@pytest.mark.parametrize("mode", ["cost", "fewest"])
def test_what_is_too_large_together_is_parted(mode: str) -> None:
    """Each fits; the widest of both, wide in both places, does not."""
    trials = [trial(features=f, units=u, epochs=1) for f, u in ((4, 50_000), (400, 4))]
    machine = Machine("cpu", 1, 100 << 20)
    assert len(plan(trials, DIGITS, machine, mode=mode).programs) == 2
    enough = replace(machine, memory_bytes=100 << 30)
    assert len(plan(trials, DIGITS, enough, mode="fewest").programs) == 1


def test_each_program_has_the_memory_to_itself() -> None:
    """Those that do not fit beside each other train one after another."""
    sizes = (8, 256, 1024)
    trials = [trial(units=u, seed=s) for u in sizes for s in range(40)]
    small = 20 << 20
    for strategy in ("map", "vmap"):
        machine = Machine("cpu", 1, small)
        found = plan(trials, DIGITS, machine, strategy=strategy, mode="separate").programs
        assert all(p.lanes * 4 * 4 * p.parameters <= small / 2 for p in found)
        lanes = [p.lanes for p in found]
        assert lanes == sorted(lanes, reverse=True)
        assert lanes[-1] < 40
    assert {
        p.lanes for p in plan(trials, DIGITS, Machine("cpu", 1, 8 << 30), mode="separate").programs
    } == {40}


# Cost


def test_a_tiny_common_divisor_is_not_worth_it() -> None:
    """Batches of 63 and 64 share microbatches of 1, those of 32 and 64 such of 32."""
    machine = Machine("cpu", 1, 8 << 30)

    def programs(*batches: int) -> int:
        return len(
            plan([trial(batch_size=b, epochs=20) for b in batches], DIGITS, machine).programs
        )

    assert (programs(63, 64), programs(32, 64)) == (2, 1)


def test_dearer_compiling_never_means_more_programs() -> None:
    trials = [trial(features=f, units=u) for f in (4, 8, 16, 32) for u in (16, 64, 256)]
    machine, found = Machine("cpu", 1, 8 << 30), []
    for times in (0.01, 1, 100, 10_000):
        costs = replace(COSTS, compile_s=2 * times, compile_layer_s=0.25 * times)
        found.append(len(plan(trials, DIGITS, machine, costs=costs).programs))
    assert found == sorted(found, reverse=True)
    assert found[0] > len(trials) / 2
    assert found[-1] == 1
