from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import costs as model
from bench.costs import Amounts, default
from bench.layers import Activation, Conv, Dense, Flatten, Layers, MaxPool, Residual

DRAWN = settings(deadline=None, max_examples=25, database=None)
SHAPE = (4, 6, 2)
LAYERS: Layers = (Conv(3), Activation("relu"), MaxPool(), Flatten(), Dense(5))
PARAMETERS = (9 * 2 * 3 + 3) + (2 * 3 * 3 * 5 + 5)
FLOPS = 2 * 9 * 2 * 3 * 24 + 2 * 18 * 5
OUTPUTS = 24 * 2 + 24 * 3 + 24 * 3 + 6 * 3 + 18 + 5
UNFOLDED = 9 * 2 * 24


def test_sizes_by_hand() -> None:
    found = model.sizes(LAYERS, SHAPE)
    assert found == model.Sizes(PARAMETERS, 2, FLOPS, OUTPUTS, UNFOLDED, 0, 0)


def test_sizes_count_what_is_nested_once() -> None:
    inner: Layers = (Conv(2),)
    plain, nested = (
        model.sizes((*layers, Flatten(), Dense(5)), SHAPE) for layers in (inner, (Residual(inner),))
    )
    assert nested == replace(plain, outputs=plain.outputs + 24 * 2)


def test_large_kernels_are_not_unfolded() -> None:
    assert model.sizes((Conv(1, 7),), (9, 9, 1)).unfolded == 49 * 81
    assert model.sizes((Conv(1, 8),), (9, 9, 1)).unfolded == 0


def test_an_iteration_by_hand() -> None:
    found = model.iteration(LAYERS, SHAPE, rows=7)
    assert found.iterations == 1
    assert found.layers == pytest.approx(2)
    assert found.flops == 3 * 7 * FLOPS
    assert found.bytes == 3 * 4 * (7 * (UNFOLDED + 2 * OUTPUTS) + PARAMETERS)
    more = model.iteration(LAYERS, SHAPE, rows=7, accumulates=True)
    assert more.bytes - found.bytes == 4 * 3 * PARAMETERS
    assert model.iteration(LAYERS, SHAPE, rows=7, augment=True).flops > found.flops


@pytest.mark.parametrize(
    ("families", "numbers"),
    [(("sgd",), 3), (("momentum",), 5), (("adam",), 7), (("adam", "lion", "sgd"), 15)],
)
def test_an_update_touches_parameter_gradient_and_moments(
    families: tuple[str, ...], numbers: int
) -> None:
    assert model.update(100, families) == Amounts(bytes=4 * 100 * numbers)


def test_an_evaluation_is_forward_passes_alone() -> None:
    found = model.evaluation(LAYERS, SHAPE, examples=20, batch=8)
    assert found == model.forward(LAYERS, SHAPE, 8) * 3
    assert found.flops == 24 * FLOPS
    assert model.evaluation(LAYERS, SHAPE, examples=0, batch=8) == Amounts()


def test_compiling() -> None:
    found = model.compiling(LAYERS, SHAPE, ("adam", "sgd"), accumulates=True)
    assert found == Amounts(programs=1, compiled_layers=2, families=1, accumulates=1)
    assert default("cpu").seconds(found) == pytest.approx(1.5 + 2 * 0.2 + 0.2 + 0.4)


def test_names_of_activations_cost_compiling_and_side_by_side_running_too() -> None:
    more: Layers = (Conv(3), Activation(("gelu", "relu", "tanh")), *LAYERS[2:])
    assert model.sizes(more, SHAPE).choices == 2
    extra = [model.compiling(layers, SHAPE, ("sgd",)).choices for layers in (LAYERS, more)]
    assert extra == [0, 2]
    assert default("cpu").seconds(Amounts(choices=2)) == pytest.approx(0.8)
    one, other = (model.iteration(layers, SHAPE, 7) for layers in (LAYERS, more))
    assert one == other
    one, other = (model.iteration(layers, SHAPE, 7, beside=True) for layers in (LAYERS, more))
    # 24 pixels of 3 channels, put out by two names more: written and read in three passes.
    assert other == one + Amounts(bytes=3 * 4 * 7 * 2 * 2 * 24 * 3)


def test_lanes_side_by_side_share_their_loop() -> None:
    one = Amounts(iterations=2, layers=3, flops=5, bytes=7)
    assert model.of_lanes(one, 4, beside=False) == one * 4
    assert model.of_lanes(one, 4, beside=True) == Amounts(
        iterations=2, layers=3, flops=20, bytes=28
    )


AMOUNTS = st.builds(Amounts, *[st.floats(0, 1e6)] * len(fields(Amounts)))


@given(AMOUNTS, AMOUNTS, st.floats(0, 100))
@DRAWN
def test_seconds_are_linear(one: Amounts, other: Amounts, times: float) -> None:
    costs = default("cpu")
    together = costs.seconds(one + other * times)
    assert together == pytest.approx(costs.seconds(one) + times * costs.seconds(other))


def test_every_amount_takes_time() -> None:
    costs = replace(default("cpu"), layer_s=1e-6)
    for field in fields(Amounts):
        assert costs.seconds(Amounts(**{field.name: 1})) > 0


def test_defaults_say_that_they_are_assumed() -> None:
    for platform in ("cpu", "gpu", "tpu"):
        assert default(platform).chip == f"default ({platform})"
        assert default(platform).measured == ""
    assert default("other") == default("gpu")
