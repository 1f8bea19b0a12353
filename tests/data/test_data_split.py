import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import DataOptions, Source, split
from bench.data.prepare import prepare
from bench.errors import ConfigError, DataError

SIZES = st.lists(st.integers(1, 30), min_size=2, max_size=6)
FRACTION = st.floats(0.01, 0.99)


def labels_of(sizes: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(0).permutation(labels)


@settings(deadline=None)
@given(SIZES, FRACTION, st.integers(0, 9))
def test_stratified(sizes: list[int], fraction: float, seed: int) -> None:
    labels = labels_of(sizes)
    held = split.stratified(labels, fraction, (seed, 1))
    np.testing.assert_array_equal(held, split.stratified(labels, fraction, (seed, 1)))
    counts = np.bincount(labels[held], minlength=len(sizes))
    for size, count in zip(sizes, counts, strict=True):
        assert count == 0 if size == 1 else 1 <= count < size
    least, most = sum(s > 1 for s in sizes), sum(s - 1 for s in sizes)
    assert held.sum() == np.clip(round(len(labels) * fraction), least, most)
    if min(sizes) * min(fraction, 1 - fraction) >= 2:  # no bound is near
        assert np.abs(counts - np.array(sizes) * fraction).max() <= 1.5


def test_seed_and_zero() -> None:
    labels = labels_of([20, 20])
    assert (split.stratified(labels, 0.5, (0,)) != split.stratified(labels, 0.5, (1,))).any()
    assert not split.stratified(labels, 0.0, (0,)).any()


def test_the_draw_is_the_same_on_every_machine() -> None:
    held = split.stratified(np.arange(12) % 2, 0.5, (7, 1))
    assert np.flatnonzero(held).tolist() == [0, 4, 5, 6, 9, 11]


@settings(deadline=None)
@given(st.lists(st.integers(2, 9), min_size=2, max_size=4), FRACTION, st.integers(0, 9))
def test_groups_are_never_divided(groups_of: list[int], fraction: float, seed: int) -> None:
    group_labels = np.repeat(np.arange(len(groups_of)), groups_of)
    sizes = np.random.default_rng(seed).integers(1, 8, len(group_labels))
    labels, groups = (np.repeat(a, sizes) for a in (group_labels, np.arange(len(sizes)) * 3))
    held = split.grouped(labels, groups, fraction, (seed, 1))
    assert not set(groups[held]) & set(groups[~held])
    for label in range(len(groups_of)):
        assert set(held[labels == label]) == {True, False}


@settings(deadline=None)
@given(SIZES, st.integers(0, 200))
def test_limited(sizes: list[int], total: int) -> None:
    labels = labels_of(sizes)
    if total < len(sizes):
        with pytest.raises(ValueError, match="are needed"):
            split.limited(labels, total, (0,))
        return
    chosen = split.limited(labels, total, (0,))
    assert chosen.sum() == min(total, len(labels))
    assert set(labels[chosen]) == set(labels)


def source(count: int = 60, own: int = 0) -> Source:
    """Every image holds its own number, so that it can be told apart after a split."""
    from bench.data import Split

    numbers = np.arange(count + own, dtype=np.uint8).reshape(-1, 1, 1, 1)
    images, labels = numbers, (np.arange(count + own) % 3).astype(np.int32)
    test = Split(images[count:], labels[count:]) if own else None
    groups = np.arange(count) // 3 % 10 * 3 + labels[:count]
    return Source(images[:count], labels[:count], ("a", "b", "c"), "none", groups, test)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["auto", "random", "group"]), FRACTION, st.floats(0, 0.9), st.integers(0, 3))
def test_three_sides_are_disjoint_and_cover(
    kind: str, test: float, valid: float, seed: int
) -> None:
    options = DataOptions(split=kind, test_fraction=test, valid_fraction=valid, split_seed=seed)
    try:
        data = prepare("numbers", source(), options)
    except DataError as error:  # fractions that leave nothing for a side
        assert "too few" in str(error)  # noqa: PT017
        assert max(test, valid) > 0.75
        return
    sides = [set(s.images.ravel().tolist()) for s in (data.train, data.valid, data.test)]
    assert sum(map(len, sides)) == 60
    assert set.union(*sides) == set(range(60))
    assert all(sides) or valid == 0
    if kind == "group":
        groups = source().groups
        assert groups is not None
        owners = [set(groups[list(side)]) for side in sides]
        assert sum(map(len, owners)) == len(set(groups))
    assert prepare("numbers", source(), options).fingerprint == data.fingerprint


def test_own_test_split() -> None:
    kept = prepare("numbers", source(own=9), DataOptions())
    assert sorted(kept.test.images.ravel()) == list(range(60, 69))
    pooled = prepare("numbers", source(own=9), DataOptions(split="random"))
    assert len(pooled.test) == round(69 * 0.2)
    limited = prepare("numbers", source(own=9), DataOptions(limit=23))
    assert len(limited.test) == 3
    assert len(limited.train) + len(limited.valid) == 20
    with pytest.raises(ConfigError, match="at least 6"):
        prepare("numbers", source(own=9), DataOptions(limit=5))
    with pytest.raises(ConfigError, match="own test split"):
        prepare("numbers", source(own=9), DataOptions(split="group"))


def test_too_small_to_split() -> None:
    with pytest.raises(DataError, match="too few examples"):
        prepare("numbers", source(3), DataOptions())
