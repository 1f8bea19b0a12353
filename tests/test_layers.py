import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ShapeError
from bench.layers import (
    ACTIVATIONS,
    Activation,
    AveragePool,
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    MaxPool,
    Residual,
    flat,
    flops,
    output_shape,
    parameters,
    state,
)
from bench.summary import check, summary

# By hand: layer, input, output, trained, kept, FLOPs.
BY_HAND = [
    (Conv(4), (5, 6, 2), (5, 6, 4), 76, 0, 2 * 9 * 2 * 5 * 6 * 4),
    (Conv(4, padding="VALID"), (5, 6, 2), (3, 4, 4), 76, 0, 2 * 9 * 2 * 3 * 4 * 4),
    (Conv(4, bias=False), (5, 6, 2), (5, 6, 4), 72, 0, 4320),
    (Conv(3, (1, 2), 2), (5, 6, 1), (3, 3, 3), 9, 0, 2 * 2 * 27),
    (Conv(3, 2, (2, 1), "VALID"), (5, 6, 1), (2, 5, 3), 15, 0, 2 * 4 * 30),
    (Conv(1, 5), (2, 2, 1), (2, 2, 1), 26, 0, 200),
    (MaxPool(), (5, 6, 2), (2, 3, 2), 0, 0, 0),
    (MaxPool(2, padding="SAME"), (5, 6, 2), (3, 3, 2), 0, 0, 0),
    (AveragePool(3, 1), (5, 6, 2), (3, 4, 2), 0, 0, 0),
    (AveragePool((1, 6)), (5, 6, 2), (5, 1, 2), 0, 0, 0),
    (Dense(7), (3,), (7,), 28, 0, 42),
    (Dense(7, bias=False), (3,), (7,), 21, 0, 42),
    (Activation("gelu"), (5, 6, 2), (5, 6, 2), 0, 0, 0),
    (BatchNorm(), (5, 6, 2), (5, 6, 2), 4, 4, 0),
    (BatchNorm(), (3,), (3,), 6, 6, 0),
    (LayerNorm(), (5, 6, 2), (5, 6, 2), 4, 0, 0),
    (LayerNorm(), (3,), (3,), 6, 0, 0),
    (Dropout(0.5), (3,), (3,), 0, 0, 0),
    (Flatten(), (5, 6, 2), (60,), 0, 0, 0),
    (Flatten(), (3,), (3,), 0, 0, 0),
    (GlobalPool(), (5, 6, 2), (2,), 0, 0, 0),
    (GlobalPool("max"), (5, 6, 2), (2,), 0, 0, 0),
    # 1×1: 2·3 + 3 and 2·2·3·30; 3×3: 2·9·4 + 4 and 2·9·2·4·30, batch norm 8 and 8.
    (Branch(((Conv(3, 1),), (Conv(4), BatchNorm()), ())), (5, 6, 2), (5, 6, 9), 93, 8, 4680),
    (Residual((Conv(2), Dropout(0.1))), (5, 6, 2), (5, 6, 2), 38, 0, 2160),
    (Residual((Conv(3),), (Conv(3, 1),)), (5, 6, 2), (5, 6, 3), 57 + 9, 0, 3240 + 360),
    (Residual((Dense(3),)), (3,), (3,), 12, 0, 18),
    # 4·3 + 4 and 2·4·3, batch norm 8 and 8; then 2·4 + 2 and 2·2·4.
    (Blocks(((Dense(4), BatchNorm()), (Dense(2),))), (3,), (2,), 24 + 10, 8, 24 + 16),
]


@pytest.mark.parametrize(("layer", "shape", "out", "trained", "kept", "forward"), BY_HAND, ids=str)
def test_counts_by_hand(layer, shape, out, trained, kept, forward):
    assert layer.output_shape(shape) == out
    counts = layer.parameters(shape), layer.state(shape), layer.flops(shape)
    assert counts == (trained, kept, forward)


def test_whole_architecture():
    net = (Conv(2, padding="VALID"), BatchNorm(), MaxPool(), Flatten(), Dense(3))
    assert output_shape(net, (6, 6, 1)) == (3,)
    assert parameters(net, (6, 6, 1)) == 20 + 4 + (2 * 2 * 2 + 1) * 3
    assert state(net, (6, 6, 1)) == 4
    assert flops(net, (6, 6, 1)) == 2 * 9 * 4 * 4 * 2 + 2 * 8 * 3
    assert output_shape((), (6, 6, 1)) == (6, 6, 1)


def test_equal_by_content_and_hashable():
    end = (Branch(((Dropout(0.5),), ())), Residual((Conv(1),)), Blocks(((LayerNorm(),),)))
    one, two = (Conv(4, 3), MaxPool(2), *end), (Conv(4, (3, 3)), MaxPool((2, 2), 2), *end)
    assert one == two
    assert {one: "program"}[two] == "program"
    assert MaxPool() != AveragePool()
    assert Conv(4) != Conv(4, bias=False)
    with pytest.raises(AttributeError):
        one[0].features = 5


# Drawn architectures, against Flax.

SIZE = st.integers(1, 4)
PAIR = st.one_of(SIZE, st.tuples(SIZE, SIZE))
PADDING = st.sampled_from(["SAME", "VALID"])
SIMPLE = st.one_of(
    st.builds(Activation, st.sampled_from(ACTIVATIONS)),
    st.builds(BatchNorm),
    st.builds(LayerNorm),
    st.builds(Dropout, st.floats(0, 0.9)),
)
SLIDING = st.one_of(
    st.builds(Conv, SIZE, PAIR, PAIR, PADDING, st.booleans()),
    st.builds(MaxPool, PAIR, st.none() | PAIR, PADDING),
    st.builds(AveragePool, PAIR, st.none() | PAIR, PADDING),
)
KEEPING = st.one_of(SIMPLE, st.builds(Conv, SIZE, PAIR))  # these keep height and width
SIDE = st.lists(KEEPING, max_size=2).map(tuple)


@st.composite
def residuals(draw) -> Residual:
    """Two sides that agree, whatever comes in: both end in the same number of channels."""
    end = (Conv(draw(SIZE), 1),)
    return Residual(draw(SIDE) + end, draw(SIDE) + end)


NESTED = st.one_of(
    st.builds(Branch, st.lists(SIDE, min_size=1, max_size=3).map(tuple)),
    residuals(),
    st.builds(Residual, st.lists(SIMPLE, max_size=2).map(tuple)),
    st.builds(Blocks, st.lists(SIDE, min_size=1, max_size=3).map(tuple)),
)
BODY = st.lists(st.one_of(SIMPLE, SLIDING, NESTED), max_size=4).map(tuple)
HEAD = st.one_of(
    st.just(()),
    st.builds(
        lambda flat, units, bias: (flat, Dense(units, bias)),
        st.sampled_from([Flatten(), GlobalPool("average"), GlobalPool("max")]),
        SIZE,
        st.booleans(),
    ),
)
NETS = st.builds(lambda body, head: body + head, BODY, HEAD)
IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
DRAWN = settings(deadline=None, max_examples=40, database=None)


class Reference:
    """The same layers in plain Flax; counts the trained and the kept numbers as it builds them."""

    def __init__(self) -> None:
        self.trained = self.kept = 0

    def module(self, module, x):
        count = lambda kind: sum(v.size for v in jax.tree.leaves(nnx.state(module, kind)))  # noqa: E731
        self.trained += count(nnx.Param)
        self.kept += count(nnx.BatchStat)
        return module(x)

    def run(self, net, x):
        for layer in net:
            x = self.step(layer, x)
        return x

    def step(self, layer, x):
        C = x.shape[-1]
        match layer:
            case Conv(features, kernel, stride, padding, bias):
                conv = nnx.Conv(
                    C, features, kernel, stride, padding=padding, use_bias=bias, rngs=nnx.Rngs(0)
                )
                return self.module(conv, x)
            case MaxPool(window, stride, padding):
                return nnx.max_pool(x, window, stride, padding)
            case AveragePool(window, stride, padding):
                return nnx.avg_pool(x, window, stride, padding)
            case BatchNorm():
                return self.module(nnx.BatchNorm(C, rngs=nnx.Rngs(0)), x)
            case LayerNorm():
                return self.module(nnx.LayerNorm(C, rngs=nnx.Rngs(0)), x)
            case Blocks(blocks):
                for block in blocks:
                    x = self.run(block, x)
                return x
            case Dense(units, bias):
                return self.module(nnx.Linear(C, units, use_bias=bias, rngs=nnx.Rngs(0)), x)
            case Flatten():
                return x.reshape(x.shape[0], -1)
            case GlobalPool(kind):
                return x.mean((1, 2)) if kind == "average" else x.max((1, 2))
            case Branch(branches):
                return jnp.concatenate([self.run(branch, x) for branch in branches], -1)
            case Residual(layers, shortcut):
                return self.run(layers, x) + self.run(shortcut, x)
            case Activation() | Dropout():
                return x
        raise TypeError(layer)


def fits(net, image) -> bool:
    try:
        check(net, image, -1)
    except ShapeError as error:
        return "-1 classes" in str(error)
    raise AssertionError


@DRAWN
@given(NETS, IMAGES)
def test_agrees_with_flax(net, image):
    reference = Reference()
    x = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    if fits(net, image):
        out = jax.eval_shape(lambda x: reference.run(net, x), x)
        assert out.shape[1:] == output_shape(net, image)
        assert reference.trained == parameters(net, image)
        assert reference.kept == state(net, image)
    else:
        body = net[:-2] if net and isinstance(net[-1], Dense) else net
        out = jax.eval_shape(lambda x: reference.run(body, x), x)
        assert 0 in out.shape  # nothing is left of the image in Flax either


@DRAWN
@given(NETS, IMAGES)
def test_summary_adds_up(net, image):
    if fits(net, image):
        rows = summary(net, image)
        assert sum(row.parameters for row in rows) == parameters(net, image)
        assert sum(row.state for row in rows) == state(net, image)
        assert sum(row.flops for row in rows) == flops(net, image)
        assert len({row.number for row in rows}) == len(rows)


def test_flat_is_the_same_architecture():
    norm, act = BatchNorm(), Activation("relu")
    grouped = (Conv(2), Blocks(((norm, act), (Blocks(((act,), (norm,))), Conv(3)))), Flatten())
    assert flat(grouped) == (Conv(2), norm, act, act, norm, Conv(3), Flatten())
    within = (Residual((Blocks(((act,),)),)),)
    assert flat(within) == within  # only what is in the row itself


@DRAWN
@given(NETS, IMAGES)
def test_flat_changes_no_count(net, image):
    assert flat(flat(net)) == flat(net)
    assert not any(isinstance(layer, Blocks) for layer in flat(net))
    if fits(net, image):
        for count in (output_shape, parameters, state, flops):
            assert count(flat(net), image) == count(net, image)
