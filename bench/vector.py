"""A tree of arrays as one vector, and back.

A lane keeps its parameters, and so its optimizer's moments, as one vector: an update is then a handful of
loops whatever the number of layers. Leaf by leaf, the optimizer was most of what XLA compiled.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Packing:
    """Where each array of a tree lies in its vector.

    Args:
        tree: arrays or shapes, of one dtype.

    Attributes:
        size: P, the length of the vector; 1 if there are no arrays, for empty ones lose their sharding.
        paths: the arrays' names, `layers/0/kernel`, in order.
    """

    def __init__(self, tree: Any):
        leaves, self._structure = jax.tree_util.tree_flatten_with_path(tree)
        self._shapes = [leaf.shape for _, leaf in leaves]
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes], dtype=int).tolist()
        self.size = self._ends[-1] if leaves else 1
        self.paths = tuple(_name(path) for path, _ in leaves)

    def pack(self, tree: Any) -> jax.Array:
        """The tree's arrays, one behind the other: (P,).

        Each is copied into its place. XLA:CPU would compute a concatenation number by number within
        what reads it, which made a step of a dense net many times as long.
        """
        flat = [leaf.reshape(-1) for leaf in jax.tree.leaves(tree)]
        vector = jnp.zeros(self.size, flat[0].dtype if flat else None)
        end = 0
        for part in flat:
            vector = jax.lax.dynamic_update_slice(vector, part, (end,))
            end += part.size
        return vector

    def arrays(self, vector: Any) -> list[Any]:
        """The arrays of a (P,) vector, on the host or the device, in the order of `paths`."""
        starts = [0, *self._ends][:-1]
        parts = zip(starts, self._ends, self._shapes, strict=True)
        return [vector[start:end].reshape(shape) for start, end, shape in parts]

    def unpack(self, vector: Any) -> Any:
        """The tree whose `pack` is `vector`."""
        return jax.tree.unflatten(self._structure, self.arrays(vector))


def _name(path: tuple) -> str:
    keys = [getattr(key, "key", getattr(key, "name", None)) for key in path]
    return "/".join(str(key) for key in keys if key is not None and key != "value")
