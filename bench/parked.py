"""Lanes' states on the host: of each lane a vector for each dtype, as every array costs a checkpoint time."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bench.record import RecordError


class Parked(NamedTuple):
    """A lane's state.

    Attributes:
        layout: a hash of the names, dtypes and shapes of its leaves.
        numbers: dtype → those of all leaves of that dtype, in the order of the tree.
    """

    layout: str
    numbers: Mapping[str, np.ndarray]


def layout(state: Any) -> str:
    """Of a tree whose leaves lead with a lane axis."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    text = repr([(jax.tree_util.keystr(p), x.dtype.name, x.shape[1:]) for p, x in leaves])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def packed(state: Any, lanes: Sequence[int]) -> list[Parked]:
    """Copies of the states of some lanes, in their order."""
    rows: dict[str, list[np.ndarray]] = {}
    for leaf in jax.tree.leaves(state):
        some = np.asarray(leaf)[list(lanes)]
        rows.setdefault(leaf.dtype.name, []).append(some.reshape(len(lanes), -1))
    whole = {dtype: np.concatenate(parts, axis=1) for dtype, parts in rows.items()}
    each = ({dtype: some[place] for dtype, some in whole.items()} for place in range(len(lanes)))
    name = layout(state)
    return [Parked(name, numbers) for numbers in each]


def unpacked(parked: Parked, shapes: Any) -> Any:
    """A lane's state as a tree.

    Args:
        parked: from `packed`.
        shapes: of the leaves of all lanes, with a lane axis.

    Raises:
        RecordError: it is of another program.
    """
    if parked.layout != layout(shapes):
        raise RecordError(
            "the checkpoint does not fit its program; delete the folder checkpoints to start unfinished "
            "trials again"
        )
    leaves, tree = jax.tree.flatten(shapes)
    ends, found = dict.fromkeys(parked.numbers, 0), []
    for leaf in leaves:
        dtype, shape = leaf.dtype.name, leaf.shape[1:]
        start, ends[dtype] = ends[dtype], ends[dtype] + int(np.prod(shape))
        found.append(parked.numbers[dtype][start : ends[dtype]].reshape(shape))
    return jax.tree.unflatten(tree, found)
