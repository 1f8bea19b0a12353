"""Stated precisions: what is stored, what is computed, and that training still trains."""

from typing import Any

import numpy as np
import pytest

from bench import precision
from tests.fused import compiled, distance, make, planned, run


def test_names_and_dtypes() -> None:
    assert precision.of("bfloat16") == ("float32", "bfloat16", "float32")
    assert precision.of("tf32").products == "tensorfloat32"
    assert precision.of(np.float64).stored == "float64"
    with pytest.raises((KeyError, TypeError)):
        precision.of("float8")


@pytest.fixture(scope="module")
def trained(digits: Any) -> dict[str, tuple]:
    """The same trial in each precision, with what it was computed by."""
    trial, found = make({"epochs": 8}), {}
    for name in precision.PRECISIONS:
        program = compiled(planned([trial], digits), trial, digits, precision=name)
        text = program.ready._train.as_text()
        found[name] = (*run(program, [trial])[trial.id], text)
    return found


def test_tf32_is_float32_where_the_chip_knows_no_other(trained: dict) -> None:
    assert distance(trained["tf32"][0], trained["float32"][0]) == 0


def test_bfloat16_computes_in_it_and_stores_float32(trained: dict) -> None:
    weights, metrics, text = trained["bfloat16"]
    assert {array.dtype for array in weights.values()} == {np.dtype("float32")}
    assert "bf16[" in text
    assert "bf16[" not in trained["float32"][2]
    exact, wanted = trained["float64"][:2]
    assert 1e-4 < distance(weights, exact) < 1  # another rounding, the same training
    assert abs(metrics["train_loss"] - wanted["train_loss"]) < 0.1 * wanted["train_loss"]
    # Not one weight is stuck between two numbers of 8 bits.
    kernel = weights["layers/0/kernel"]
    assert (kernel.view(np.uint32) & 0xFFFF).any()


def test_float32_is_near_float64(trained: dict) -> None:
    assert distance(trained["float32"][0], trained["float64"][0]) < 1e-3
