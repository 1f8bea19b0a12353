"""What is computed once: the same numbers, and once indeed."""

import math
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench.data.augment import DRAWS
from bench.ops import computed_once
from tests.fused import compiled, make, planned
from tests.networks import quick


def halved(x: jax.Array) -> jax.Array:
    return computed_once(lambda: x / 2, never=-1)


@pytest.mark.parametrize("shape", [(3, 5), (1,), ()])
@pytest.mark.parametrize("how", [lambda f: f, quick, lambda f: quick(jax.vmap(f))])
def test_it_is_what_is_computed(shape: tuple[int, ...], how: Callable) -> None:
    x = jnp.arange(4 * math.prod(shape), dtype=jnp.float32).reshape(4, *shape)
    got = how(halved)(x)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, x / 2)


def test_elsewhere_it_is_left_to_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    def text() -> str:
        return str(jax.make_jaxpr(lambda x: halved(x))(1.0))  # traced anew

    assert "while" in text()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "while" not in text()


def test_where_an_image_moves_is_drawn_once(digits) -> None:
    """Not for each weight of its resampling, of which one of 8×8 pixels has 128."""
    trial = make({"model": "mlp", "batch_size": 32, "shift": 1, "crop": 0.1})
    program = compiled(planned([trial], digits, lanes=1), trial, digits)
    functions = program.ready._train.as_text().split("\n\n")
    drawing = [text for text in functions if "shift-left(" in text]  # threefry's rounds
    assert drawing
    sizes = [
        math.prod(map(int, filter(None, shape.split(","))))
        for text in drawing
        for shape in re.findall(r"= [a-z]+\d+\[([\d,]*)\]", text)
    ]
    assert max(sizes) == DRAWS * 32
