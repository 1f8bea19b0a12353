"""What `prepare` refuses and returns, of the devices that the tests have; JAX stays as it is set up."""

import jax
import pytest

from bench.devices import prepare
from bench.errors import ConfigError

PRECISION = "float64" if jax.config.jax_enable_x64 else "float32"


@pytest.mark.parametrize(
    ("count", "batch_devices", "message"),
    [
        (-1, 1, "devices=-1 is not allowed: give a number ≥ 1, or 0 for all"),
        (
            2,
            -3,
            "batch_devices=-3 is not allowed: give a number ≥ 1, or 0 to leave it to the planner",
        ),
        (9, 1, "devices=9, but there are 8: cpu"),
        (
            0,
            3,
            (
                "batch_devices=3 does not divide the 8 devices in use; "
                "choose another number, or --devices"
            ),
        ),
        (
            2,
            4,
            (
                "batch_devices=4 does not divide the 2 devices in use; "
                "choose another number, or --devices"
            ),
        ),
    ],
)
def test_refuses(count: int, batch_devices: int, message: str) -> None:
    before = jax.config.jax_enable_x64
    with pytest.raises(ConfigError) as caught:
        prepare(count, batch_devices, PRECISION, None)
    assert str(caught.value) == message
    assert jax.config.jax_enable_x64 == before


@pytest.mark.parametrize(
    ("count", "batch_devices", "found"), [(0, 1, 8), (0, 0, 8), (1, 1, 1), (6, 3, 6)]
)
def test_returns_the_first_devices(count: int, batch_devices: int, found: int) -> None:
    assert prepare(count, batch_devices, PRECISION, None) == jax.devices()[:found]


def test_sets_the_precision() -> None:
    before = jax.config.jax_enable_x64
    try:
        for precision, wide in (("float32", False), ("float64", True)):
            prepare(1, 1, precision, None)
            assert jax.config.jax_enable_x64 == wide
    finally:
        jax.config.update("jax_enable_x64", before)
