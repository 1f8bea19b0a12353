"""A tree of arrays as a few of them, and back.

A lane keeps its parameters, and so its optimizer's moments, as one vector of all that is small, and each
large array by itself. Leaf by leaf, the optimizer was most of what XLA compiled; all in one vector, large
kernels were copied out of it at each step and their gradients into one.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

LARGE = 1 << 16  # numbers, from which on an array is kept by itself: no longer in a core's cache

# The vector of what is small, and one of each large array: in its own shape XLA:CPU may turn it about, and an
# update read its moments across the rows.
Parts = tuple[jax.Array, ...]


class Packing:
    """Where each array of a tree lies: in parts on a device, in one vector on the host.

    Args:
        tree: arrays or shapes, of one dtype.

    Attributes:
        size: P, the length of the vector; 1 if there are no arrays, for empty ones lose their sharding.
        paths: the arrays' names, `layers/0/kernel`, in the order of the vector.
    """

    def __init__(self, tree: Any):
        leaves, self._structure = jax.tree_util.tree_flatten_with_path(tree)
        self._shapes = [leaf.shape for _, leaf in leaves]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self.size = max(1, sum(self._sizes))
        self.paths = tuple(_name(path) for path, _ in leaves)

    def pack(self, tree: Any) -> Parts:
        """The parts that a tree is made of.

        What is small is copied into its place. XLA:CPU would compute a concatenation number by number within
        what reads it, which made a step of a dense net many times as long.
        """
        flat = [leaf.reshape(-1) for leaf in jax.tree.leaves(tree)]
        small = [leaf for leaf in flat if leaf.size < LARGE]
        length = max(1, sum(leaf.size for leaf in small))
        vector, end = jnp.zeros(length, flat[0].dtype if flat else None), 0
        for part in small:
            vector = jax.lax.dynamic_update_slice(vector, part, (end,))
            end += part.size
        return (vector, *(leaf for leaf in flat if leaf.size >= LARGE))

    def unpack(self, parts: Parts) -> Any:
        """The tree whose `pack` the parts are."""
        return jax.tree.unflatten(self._structure, self._leaves(parts))

    def arrays(self, vector: Any) -> list[Any]:
        """The arrays of a (P,) vector, views of it on the host, in the order of `paths`."""
        ends = np.cumsum(self._sizes, dtype=int).tolist()
        parts = zip(ends, self._sizes, self._shapes, strict=True)
        return [vector[end - size : end].reshape(shape) for end, size, shape in parts]

    def split(self, vector: jax.Array) -> Parts:
        """The parts of a (P,) vector, of its dtype."""
        if not self._sizes:
            return (vector,)  # packed, nothing would be of the default dtype
        return self.pack(jax.tree.unflatten(self._structure, self.arrays(vector)))

    def joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The (P,) vector of parts on the host."""
        flat = [leaf.reshape(-1) for leaf in self._leaves(parts)]
        return np.concatenate(flat) if flat else parts[0]

    def _leaves(self, parts: Sequence[Any]) -> list[Any]:
        """In the order of `paths`."""
        (vector, *large), found, end = parts, [], 0
        for size, shape in zip(self._sizes, self._shapes, strict=True):
            if size >= LARGE:
                found.append(large.pop(0).reshape(shape))
            else:
                found.append(vector[end : end + size].reshape(shape))
                end += size
        return found


def _name(path: tuple) -> str:
    keys = [getattr(key, "key", getattr(key, "name", None)) for key in path]
    return "/".join(str(key) for key in keys if key is not None and key != "value")
