"""Architectures of papers: their parameters, operations and sides against what was published."""

import pytest

from bench import zoo
from bench.errors import ShapeError
from bench.layers import Branch, Conv, Dense, Residual, flat, inputs, output_shape, parameters
from bench.summary import check, summary


def conv_parameters(*widths_and_kernels: tuple[int, int]) -> int:
    """Of convolutions in a row over three channels, kernels and biases."""
    channels = [3, *(width for width, _ in widths_and_kernels)]
    return sum(
        (kernel * kernel * before + 1) * width
        for before, (width, kernel) in zip(channels, widths_and_kernels, strict=False)
    )


def test_alexnet_at_the_papers_widths():
    """Krizhevsky et al. 2012, without the two groups of the paper's GPUs; sides by the paper's figure 2."""
    net = zoo.alexnet(1000, features=96, units=4096, padding="VALID")
    rows = [row for row in summary(net, (227, 227, 3)) if row.parameters]
    assert [row.shape[-1] for row in rows] == [96, 256, 384, 384, 256, 4096, 4096, 1000]
    assert [row.shape[0] for row in rows[:5]] == [55, 27, 13, 13, 13]
    convs = conv_parameters((96, 11), (256, 5), (384, 3), (384, 3), (256, 3))
    dense = (6 * 6 * 256 + 1) * 4096 + 4097 * 4096 + 4097 * 1000
    assert (convs, dense, convs + dense) == (3_747_200, 58_631_144, 62_378_344)
    assert parameters(net, (227, 227, 3)) == convs + dense


def test_alexnet_for_small_images():
    net = zoo.alexnet(10, features=96, units=4096)
    assert [s[0] for layer, s in inputs(net, (32, 32, 1)) if isinstance(layer, Conv)] == [
        32,
        4,
        2,
        2,
        2,
    ]
    check(zoo.alexnet(10, padding="VALID"), (67, 67, 1), classes=10)
    with pytest.raises(ShapeError):
        check(zoo.alexnet(10, padding="VALID"), (66, 66, 1), classes=10)


def test_vgg19_by_hand():
    """Simonyan and Zisserman 2015, table 1, column E, and table 2: 144 million."""
    blocks = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    convs = conv_parameters(*((width, 3) for width in blocks))
    dense = (7 * 7 * 512 + 1) * 4096 + 4097 * 4096 + 4097 * 1000
    net = zoo.vgg(1000, depth=19, features=64, units=4096)
    assert parameters(net, (224, 224, 3)) == convs + dense == 143_667_240


# Millions of multiply-adds of each module in the paper's table 1. Left out is module 5a: the table has 54
# where its own widths give 51.1.
GOOGLENET = {0: 128, 1: 304, 2: 73, 3: 88, 4: 100, 5: 119, 6: 170, 8: 71}


def test_inception_has_the_published_operations():
    net = zoo.inception(1000, dropout=0.4)
    found = [
        (layer.flops(shape) / 2e6, layer.output_shape(shape))
        for layer, shape in inputs(net, (224, 224, 3))
        if isinstance(layer, Branch)
    ]
    assert {n: found[n][0] for n in GOOGLENET} == pytest.approx(GOOGLENET, abs=0.7)
    assert [shape[-1] for _, shape in found] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    assert [shape[0] for _, shape in found] == [28] * 2 + [14] * 5 + [7] * 2
    assert round(parameters(net, (224, 224, 3)) / 1e6, 1) == 7.0


def test_inception_in_a_row_has_the_same_layers():
    parallel, row = (zoo.inception(5, modules=3, paths=p) for p in ("parallel", "sequential"))
    (first, *_) = (layer for layer in parallel if isinstance(layer, Branch))
    side_by_side = sum(first.branches, ())
    start = len(parallel) - parallel[::-1].index(first) - 1
    assert row[start : start + len(side_by_side)] == side_by_side
    assert not any(isinstance(layer, Branch) for layer in row)
    assert output_shape(row, (64, 64, 1)) == output_shape(parallel, (64, 64, 1)) == (5,)
    narrow = zoo.inception(5, features=16)
    assert [layer.features for layer in flat(narrow) if isinstance(layer, Conv)] == [16, 16, 48]


@pytest.mark.parametrize(
    ("blocks", "published"), [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85), (18, 1.73)]
)
def test_resnet_has_the_published_parameters(blocks, published):
    """Millions, of He et al. 2016, table 6, whose shortcuts have no parameters; ours have two projections."""
    net = zoo.resnet(10, stage_blocks=blocks)
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert round((parameters(net, (32, 32, 3)) - projections) / 1e6, 2) == published
    convs = [layer for layer in net if isinstance(layer, Conv | Dense)]
    inside = [layer for r in net if isinstance(r, Residual) for layer in r.layers]
    assert len(convs) + sum(isinstance(layer, Conv) for layer in inside) == 6 * blocks + 2
