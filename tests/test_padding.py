"""What a program of several architectures is, and where a trial's numbers lie in it."""

import itertools
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.layers import (
    Activation,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Layers,
    MaxPool,
    Residual,
    Shape,
    inputs,
    parameters,
    state,
)
from bench.modules import Build
from bench.network import Network
from bench.padding import Fit, admits, arrays, fit, has_ranks, skeleton, widest
from bench.vector import Packing
from tests.families import families

DRAWN = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def in_a_row(layers: Any) -> Layers:
    """Without `Blocks`, those within other layers as well."""
    found: Layers = ()
    for layer in layers:
        if isinstance(layer, Blocks):
            found += sum(map(in_a_row, layer.blocks), ())
        elif isinstance(layer, Branch):
            found += (Branch(tuple(map(in_a_row, layer.branches))),)
        elif isinstance(layer, Residual):
            found += (Residual(*map(in_a_row, layer.parts())),)
        else:
            found += (layer,)
    return found


def packings(layers: Layers, image: Shape) -> dict[str, Packing]:
    """Of the parameters and statistics of a network."""
    network = nnx.eval_shape(lambda: Network(layers, image, Build(jnp.float32)))
    kinds = {"arrays": nnx.Param, "statistics": nnx.BatchStat}
    return {name: Packing(nnx.state(network, kind)) for name, kind in kinds.items()}


# `arrays`


@DRAWN
@given(families(members=1))
def test_arrays_are_those_of_the_network(family: tuple[Shape, list[Layers]]) -> None:
    image, (layers,) = family
    for kind, packing in packings(in_a_row(layers), image).items():
        found = packing.arrays(np.zeros(packing.size))
        wanted = zip(packing.paths, [array.shape for array in found], strict=True)
        assert list(arrays(layers, image, kind)) == list(wanted)
        assert list(arrays(in_a_row(layers), image, kind)) == list(arrays(layers, image, kind))


# `skeleton`, `widest`, `admits`


@DRAWN
@given(families(), st.permutations(range(3)))
def test_widest(family: tuple[Shape, list[Layers]], order: list[int]) -> None:
    """It depends on who is there alone: not on their order, nor on who is joined first."""
    image, members = family
    assert len({skeleton(layers) for layers in members}) == 1
    wide, bare = widest(members), skeleton(members[0])
    assert widest([members[place] for place in order]) == wide
    assert widest([widest(members[:2]), members[2]]) == wide
    assert widest([members[0], widest(members[1:])]) == wide
    assert widest([wide]) == widest([wide, *members]) == wide
    assert skeleton(wide) == skeleton(bare) == bare
    assert all(admits(wide, layers) for layers in (wide, *members))
    assert parameters(wide, image) >= max(parameters(layers, image) for layers in members)
    for layers in members:
        alone = widest([layers])
        assert admits(alone, layers)
        assert parameters(alone, image) == parameters(layers, image)


@DRAWN
@given(families())
def test_admitted_is_what_would_change_nothing(family: tuple[Shape, list[Layers]]) -> None:
    _, members = family
    for one, other in itertools.permutations(members, 2):
        alone = widest([one])
        assert admits(alone, other) == (widest([one, other]) == alone)


BASE: Layers = (
    Conv(4),
    Activation(("relu", "tanh")),
    Dropout(0.5),
    Branch(((Conv(2, 1),), (Dropout(0.0),))),
    GlobalPool(),
    Blocks(((Dense(6), LayerNorm()), (Dense(3), LayerNorm()))),
    Dense(3),
)


def changed(place: int, layer: Any) -> Layers:
    return (*BASE[:place], layer, *BASE[place + 1 :])


@pytest.mark.parametrize(
    ("place", "layer", "allowed"),
    [
        (0, Conv(1), True),
        (0, Conv(5), False),
        (0, Conv(4, 5), False),
        (0, Conv(4, bias=False), False),
        (0, Conv(4, stride=2), False),
        (0, Conv(4, padding="VALID"), False),
        (1, Activation("tanh"), True),
        (1, Activation("relu"), True),
        (1, Activation("elu"), False),
        (1, Activation(("relu", "elu")), False),
        (2, Dropout(0.9), True),
        (2, Dropout(0.0), True),
        (3, Branch(((Conv(1, 1),), (Dropout(0.0),))), True),
        (3, Branch(((Conv(3, 1),), (Dropout(0.0),))), False),
        (3, Branch(((Conv(2, 1),), (Dropout(0.1),))), False),
        (3, Branch(((Conv(2, 1),), (Dropout(0.0),), ())), False),
        (4, GlobalPool("max"), False),
        (5, Blocks(((Dense(2), LayerNorm()),)), True),
        (5, Blocks(((Dense(3), LayerNorm()),)), True),
        # As many as one block has, but none of these passes by the second, which has room for 3.
        (5, Blocks(((Dense(4), LayerNorm()),)), False),
        (5, Blocks(((Dense(6), LayerNorm()), (Dense(1), LayerNorm()))), True),
        (5, Blocks(((Dense(2), LayerNorm()),) * 3), False),
        (5, Blocks(((Dense(2), LayerNorm(1e-3)),)), False),
        (5, Blocks(((Dense(2), BatchNorm()),)), False),
        (6, Dense(4), False),
    ],
)
def test_what_a_program_admits(place: int, layer: Any, allowed: bool) -> None:
    assert admits(BASE, changed(place, layer)) == allowed
    assert not admits(BASE, (*changed(place, layer), Activation("identity")))
    assert not admits(BASE, changed(place, layer)[:-1])


def test_skeletons_by_hand() -> None:
    block = (Dense(1), LayerNorm())
    assert skeleton(BASE) == (
        *(Conv(1), Activation("identity"), Dropout(0.0)),
        Branch(((Conv(1, 1),), (Dropout(0.0),))),
        *(GlobalPool(), Blocks((block,)), Dense(1)),
    )
    unequal = Blocks(((Dense(2),), (Dense(2), LayerNorm())))
    assert skeleton((unequal,)) == (Blocks(((Dense(1),), block)),)
    assert skeleton((Blocks(((Dense(7),), (Dense(5), LayerNorm()))),)) == skeleton((unequal,))
    assert skeleton((Blocks((*unequal.blocks, (Dense(2),))),)) != skeleton((unequal,))


def test_rates_share_a_program_and_structure_does_not() -> None:
    def net(a: float, b: float, c: float, features: int = 3) -> Layers:
        inner = Residual((Dropout(b), Conv(features)), (Dropout(c), Conv(features)))
        return (Dropout(a), Branch(((), (inner,))), GlobalPool(), Dense(3))

    assert skeleton(net(0.1, 0.2, 0.3)) == skeleton(net(0.4, 0.0, 0.6)) == skeleton(net(0, 0, 0))
    assert skeleton(net(0.1, 0.2, 0.3, features=4)) == skeleton(net(0, 0, 0))
    image = (4, 4, 1)
    assert fit(net(0.1, 0.2, 0.3), widest([net(0.1, 0.2, 0.3)]), image).values.tolist() == [
        *(0.1, 0),
        *(0.2, 1),
        *(0.3, 2),
    ]
    assert skeleton((replace(Conv(4), padding="VALID"),)) != skeleton((Conv(4),))


def bent(width: int, end: tuple) -> dict[str, Layers]:
    """Sums of channels that are not the first of a program's, on one side or both."""
    start, pixels = (Conv(width),), (Activation("relu"), MaxPool(2), Flatten())
    two = (Conv(width, 1), Conv(width, 1))
    return {
        "kept behind Flatten": (*start, *pixels, Residual((Dense(16 // 4 * width),)), *end),
        "kept behind Branch": (Branch((start, start)), Residual((Conv(2 * width),)), *end),
        "Branch on one side": (*start, Residual((Branch((two, two)),), (Conv(2 * width),)), *end),
        "Branch on both": (*start, Residual((Branch((two, two)),), (Branch((two, two)),)), *end),
        "within": (*start, Residual((Residual((Branch((two, ())), Conv(width))), Branch((two,)))), *end),
    }  # fmt: skip


@pytest.mark.parametrize("name", bent(1, ()))
def test_sums_of_bent_channels_share_only_with_their_equals(name: str) -> None:
    """Their rates are data all the same."""

    def layers(width: int, rate: float = 0.0, activation: str = "relu", units: int = 5) -> Layers:
        head = () if "Flatten" in name else (Flatten(),)
        end = (*head, Activation(activation), Dropout(rate), Dense(units), Dense(3))
        return bent(width, end)[name]

    one = layers(2)
    assert parameters(one, (4, 4, 1))  # it fits
    rated = layers(2, rate=0.3)
    assert skeleton(one) == skeleton(rated) == one
    assert admits(widest([one, rated]), rated)
    for other in (layers(3), layers(2, activation="tanh"), layers(2, units=4)):
        assert skeleton(other) == other
        assert skeleton(other) != skeleton(one)
        assert not admits(one, other)
        assert not admits(other, one)


def test_sums_of_straight_channels_share() -> None:
    """Also behind Flatten and Branch, where both sides make their channels anew."""

    def layers(width: int) -> Layers:
        sides = Residual((Dense(width), Activation("tanh")), (Dense(width),))
        body = (Conv(width), Residual((Conv(width),)), Branch(((), ())), Flatten())
        return (*body, sides, Residual((Dense(width),)), Dense(3))

    assert skeleton(layers(2)) == skeleton(layers(5))
    assert admits(layers(5), layers(2))


# `fit`


def sizes_of_ranks(layers: Layers, image: Shape) -> list[int]:
    """The channels of each layer that has ranks, in the order of `Fit.ranks`."""
    found = []
    for layer, before in inputs(layers, image):
        if has_ranks(layer):
            found.append(before[-1])
        for part in layer.parts():
            found += sizes_of_ranks(part, before)
        if isinstance(layer, Blocks):
            for block, shape in inputs_of_blocks(layer, before):
                found += sizes_of_ranks(block, shape)
    return found


def inputs_of_blocks(blocks: Blocks, shape: Shape) -> Any:
    for block in blocks.blocks:
        yield block, shape
        for layer, before in inputs(block, shape):
            shape = layer.output_shape(before)


@DRAWN
@given(families())
def test_a_trials_numbers_have_places_of_their_own(family: tuple[Shape, list[Layers]]) -> None:
    image, members = family
    wide = widest(members)
    sizes = packings(wide, image)
    lengths = np.cumsum([0, *sizes_of_ranks(wide, image)])
    for layers in members:
        found = fit(layers, wide, image)
        for places, size, kind in (
            (found.params, parameters(layers, image), "arrays"),
            (found.stats, state(layers, image), "statistics"),
        ):
            places = np.arange(sizes[kind].size)[places]  # which may be all, as a slice
            assert len(np.unique(places)) == len(places) == size
        assert found.ranks.dtype == np.int32
        assert len(found.ranks) == lengths[-1]
        for first, last in itertools.pairwise(lengths):
            real = found.ranks[first:last]
            real = real[real >= 0]
            # Ascending, so that channels stay in their order; none is left out.
            assert real.tolist() == list(range(len(real)))
            assert len(real) > 0
        assert len(found.values) == len(fit(members[0], wide, image).values)


@DRAWN
@given(families())
def test_the_widest_trial_is_the_whole_program(family: tuple[Shape, list[Layers]]) -> None:
    image, members = family
    for layers in members:
        wide = widest([layers])
        found = fit(layers, wide, image)
        assert found.params == slice(0, parameters(layers, image))
        assert found.stats == slice(0, state(layers, image))
        assert (found.ranks >= 0).all()


def test_places_by_hand() -> None:
    """Of a Conv and, behind Flatten, the second of two Dense; an image of 1×2 pixels."""
    layers = (Conv(1, 1), Flatten(), Dense(2), Dropout(0.1), Dense(1))
    wide = widest([layers, (Conv(2, 1), Flatten(), Dense(3), Dropout(0.1), Dense(1))])
    found = fit(layers, wide, (1, 2, 1))
    # Biases come first. Conv: 2 + 2 numbers; Dense: 3 + 4·3, inputs 0 and 2 are real; then 1 + 3.
    conv, dense, last = [0, 2], [4, 5, 7, 8, 13, 14], [19, 20, 21]
    assert found.params.tolist() == [*conv, *dense, *last]
    assert found.ranks.tolist() == [0, 1, -1]
    assert found.values.tolist() == [0.1, 0]


def test_values_by_hand() -> None:
    """In depth-first order: the activation's index, rate and number of a dropout, how many blocks."""
    one = (Activation("tanh"), Blocks(((Dense(2), Dropout(0.1)),)), Dropout(0.2))
    two = (Activation("elu"), Blocks(((Dense(2), Dropout(0.3)),) * 2), Dropout(0.4))
    wide = widest([one, two])
    # Of the block that it lacks, the numbers are the last one's; no later dropout is counted on.
    assert fit(one, wide, (2,)).values.tolist() == [1, 1, 0.1, 0, 0.1, 1, 0.2, 1]
    assert fit(two, wide, (2,)).values.tolist() == [0, 2, 0.3, 0, 0.3, 1, 0.4, 2]
    assert isinstance(fit(one, wide, (2,)), Fit)
