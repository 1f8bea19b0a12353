"""Seeded, stratified choices among examples. Indices in, indices out.

The seed and the labels decide the result, never the machine.
"""

import numpy as np


def stratified(labels: np.ndarray, fraction: float, seed: tuple[int, ...]) -> np.ndarray:
    """Which examples to hold out, so that every class gives its share.

    round(N · fraction) of them, shared out by largest remainder; but a class of two examples or
    more has at least one on either side, and a class of one is not held.

    Args:
        labels: (N,) ints.
        fraction: 0..1, of N.
        seed: of the draw.

    Returns:
        (N,) bool, True where held.
    """
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    least = np.minimum(sizes // 2, 1)
    most = np.where(sizes > 1, sizes - 1, 0)
    total = round(len(labels) * fraction)
    if fraction == 0:
        return np.zeros(len(labels), bool)
    return _draw(labels, _shares(sizes, total, least, most), seed)


def grouped(
    labels: np.ndarray, groups: np.ndarray, fraction: float, seed: tuple[int, ...]
) -> np.ndarray:
    """As `stratified`, but a group is held whole or not at all.

    Groups are shared out by number, each under its most frequent class; where they differ in size
    the fraction of examples is met on average only.

    Args:
        labels: (N,) ints.
        groups: (N,) ints.
        fraction: 0..1, of the groups.
        seed: of the draw.

    Returns:
        (N,) bool, True where held.
    """
    pairs, counts = np.unique(np.stack([groups, labels], axis=1), axis=0, return_counts=True)
    order = np.lexsort((-counts, pairs[:, 0]))  # of each group the most frequent class first
    names, first = np.unique(pairs[order, 0], return_index=True)
    held = stratified(pairs[order][first, 1], fraction, seed)
    return np.isin(groups, names[held])


def limited(strata: np.ndarray, total: int, seed: tuple[int, ...]) -> np.ndarray:
    """(N,) bool: `total` examples, every stratum by its share and at least one of each.

    Raises:
        ValueError: there are more strata than `total`.
    """
    _, strata, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    if total < len(sizes):
        raise ValueError(f"at least {len(sizes)} are needed for one of each class and split")
    return _draw(strata, _shares(sizes, total, np.ones_like(sizes), sizes), seed)


def _shares(sizes: np.ndarray, total: int, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """How many of each class, (classes,): proportional to sizes, within least and most."""
    total = int(np.clip(total, least.sum(), most.sum()))
    quota = sizes * (total / sizes.sum())
    shares = np.clip(np.floor(quota).astype(np.int64), least, most)
    while (lack := total - shares.sum()) != 0:
        if lack > 0:
            shares[np.argmax(np.where(shares < most, quota - shares, -np.inf))] += 1
        else:
            shares[np.argmin(np.where(shares > least, quota - shares, np.inf))] -= 1
    return shares


def _draw(labels: np.ndarray, shares: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """(N,) bool: shares[c] examples of each class c, at random."""
    rng = np.random.Generator(np.random.PCG64(seed))
    held = np.zeros(len(labels), bool)
    for label, share in enumerate(shares):
        held[rng.permutation(np.flatnonzero(labels == label))[:share]] = True
    return held
