import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import padding
from bench.cells import Cell, cell, cells, groups, has_batch_norm, outline, without_rates
from bench.costs import Workload
from bench.errors import ConfigError, ShapeError
from bench.layers import (
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    Layers,
    Residual,
)
from bench.plan import plan
from tests.test_partition import ARCHITECTURES, cell_of
from tests.test_plan import CPU, refused, trial
from tests.test_plan import one as only

DRAWN = settings(deadline=None, max_examples=20, database=None)
DIGITS = Workload((8, 8, 1), 10, 1000)


def together(*layers: Layers) -> int:
    return len(groups([cell_of(each) for each in layers], lambda _: False))


@pytest.mark.parametrize("other", [{"learning_rate": 0.1, "epochs": 3}, {"dropout": 0.2}, {}])
def test_plain_numbers_share_a_cell(other: dict[str, Any]) -> None:
    both = [trial(seed=1), trial(**other)]
    (found,) = cells(both, (), DIGITS)
    assert found.trials == both
    rates = {layer.rate for layer in found.layers[-2].blocks[0] if isinstance(layer, Dropout)}
    assert rates == {padding.SOME if "dropout" in other else 0.0}


@pytest.mark.parametrize(
    "other", [{"features": 4}, {"batch_size": 32}, {"optimizer": "sgd"}, {"flip": True}]
)
def test_what_a_program_must_know_parts_cells(other: dict[str, Any]) -> None:
    both = [trial(), trial(**other)]
    assert len(cells(both, (), DIGITS)) == 2
    orders = [[c.layers for c in cells(ts, (), DIGITS)] for ts in (both, both[::-1])]
    assert orders[0] == orders[1]


def test_a_bound_that_is_a_known_trial_counts_once() -> None:
    (found,) = cells([trial()], [trial(), trial(seed=2)], DIGITS)
    assert (found.trials, found.bounds) == ([trial()], [trial(seed=2)])


def test_rates_join_whatever_the_order() -> None:
    rates = [(0.0, 0.0), (0.2, 0.0), (0.0, 0.1), (0.0, 0.3)]
    every = [trial(filter_dropout=f, dropout=d) for f, d in rates]
    found = {cells(ts, (), DIGITS)[0].layers for ts in (every, every[::-1], every[1:] * 2)}
    assert found == {padding.widest([cell(t, 10).layers for t in every])}


@given(st.lists(ARCHITECTURES, min_size=1, max_size=6))
@DRAWN
def test_groups_are_skeletons_and_with_batch_norm_batch_sizes(found: list[Layers]) -> None:
    every = [cell_of(layers, batch) for layers in found for batch in (8, 16)]
    parted = groups(every, lambda _: False)
    for members in parted:
        assert len({padding.skeleton(c.layers) for c in members}) == 1
        assert len({c.batch_size for c in members}) == 1
    assert sum(map(len, parted)) == len(every)
    assert len(parted) == len({(padding.skeleton(c.layers), c.batch_size) for c in every})
    for one in every:
        for other in every:
            if outline(one.layers) == outline(other.layers):
                assert padding.skeleton(one.layers) == padding.skeleton(other.layers)


def test_who_is_to_be_alone_is() -> None:
    every = [cell_of((Dense(n),)) for n in (1, 2, 3, 4)]
    found = groups(every, lambda c: c in every[2:])
    assert sorted(map(len, found)) == [1, 1, 2]


def test_widths_of_a_sum_behind_a_branch_are_structure() -> None:
    def bent(features: int) -> Layers:
        branch = Branch(((Conv(features),), (Conv(2),)))
        return (branch, Residual((Conv(features + 2),)), GlobalPool(), Dense(10))

    assert together(bent(2), bent(3)) == 2
    assert together(bent(2), bent(2)) == 1


def test_without_rates() -> None:
    layers: Layers = (Residual((Dropout(0.2),), (Dropout(0.0),)), Blocks(((Dropout(0.3),),)))
    bare = (Residual((Dropout(0.0),), (Dropout(0.0),)), Blocks(((Dropout(0.0),),)))
    some = (Residual((Dropout(0.5),), (Dropout(0.0),)), Blocks(((Dropout(0.5),),)))
    assert (without_rates(layers), without_rates(layers, 0.5)) == (bare, some)


def test_batch_norm_is_found_where_it_is_nested() -> None:
    assert has_batch_norm((Residual((Branch(((BatchNorm(),),)),)),))
    assert has_batch_norm((Blocks(((BatchNorm(),),)),))
    assert not has_batch_norm((Conv(2), Residual((Conv(2),))))


def test_cells_are_told_apart_by_who_they_are() -> None:
    assert Cell((), 1, "sgd", False) != Cell((), 1, "sgd", False)


# Mistakes


def test_a_batch_larger_than_the_data_names_the_trial() -> None:
    wrong = trial(batch_size=1001)
    message = refused(ConfigError, [trial(), wrong])
    assert message.startswith(f"trial {wrong.id}: batch_size=1001 ")
    assert "1000 training examples" in message
    assert only(plan([trial(batch_size=1000)], DIGITS, CPU)).steps == 1


@pytest.mark.parametrize(
    ("settings", "layer", "shape"),
    [
        ({"filter_repeats": 4}, "MaxPool 2×2 VALID", "1×1×16"),
        ({"kernel": 9, "padding": "VALID"}, "Conv 16 9×9 VALID", "8×8×1"),
        ({"kernel": 5, "padding": "VALID"}, "Conv 16 5×5 VALID", "2×2×16"),
    ],
)
def test_an_image_that_shrinks_to_nothing_names_trial_layer_and_shape(
    settings: dict[str, Any], layer: str, shape: str
) -> None:
    wrong = trial(**settings)
    message = refused(ShapeError, [trial(), wrong])
    where = rf"trial {wrong.id}: layer \d+ \({layer}\) does not fit {shape}: "
    assert re.match(where, message), message


def test_what_the_model_refuses_names_the_trial() -> None:
    wrong = trial(units=0)
    assert refused(ConfigError, [wrong]).startswith(f"trial {wrong.id}: units ")


def test_dropout_beyond_its_random_numbers_names_the_trial() -> None:
    # Behind two pools 2·2·17,000 numbers an image: with 1,000 images just above 2²⁶.
    wrong = trial(features=17_000, batch_size=1000, filter_dropout=0.1)
    message = refused(ConfigError, [trial(), wrong])
    assert message.startswith(f"trial {wrong.id}: dropout of 68,000,000 numbers a batch; use ")
    only(plan([trial(features=17_000, batch_size=1000, units=2, dropout=0.1)], DIGITS, CPU))
    only(plan([trial(features=16_700, batch_size=1000, filter_dropout=0.1)], DIGITS, CPU))


def test_too_many_dropouts_name_the_trial() -> None:
    wrong = trial(dense_layers=64, dropout=0.1)  # and one behind the convolutions
    message = refused(ConfigError, [wrong])
    assert message == f"trial {wrong.id}: more than 64 dropout layers; leave some out"
    only(plan([trial(dense_layers=63, dropout=0.1)], DIGITS, CPU))
    only(plan([trial(dense_layers=64, filter_dropout=0.1)], DIGITS, CPU))
