"""JAX before its first use: how many devices a CPU is, the precision, the cache of compiled programs."""

import contextlib
import os
from pathlib import Path

import jax

from bench import host
from bench import precision as precisions
from bench.errors import ConfigError
from bench.kernels import build
from bench.ops import native

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def prepare(
    count: int,
    batch_devices: int,
    precision: str,
    cache_dir: Path | None,
    deterministic: bool = False,
    cores: int = 0,
) -> list:
    """Sets JAX up and returns the devices to run on.

    Args:
        count: how many; 0 for all, on a CPU one for each core.
        batch_devices: how many of them share the examples of a lane; 0 leaves it to the planner.
        precision: a name of `precision.PRECISIONS`.
        cache_dir: where compiled programs are kept; None keeps none.
        deterministic: XLA is to take only what gives the same bits every time; on a CPU it does anyhow.
        cores: how many devices a CPU is where `count` is 0; 0 for as many as it has cores.

    Raises:
        ConfigError: more devices than there are, or a number that does not divide.
    """
    for name, value, zero in (
        ("devices", count, "for all"),
        ("batch_devices", batch_devices, "to leave it to the planner"),
    ):
        if value < 0:
            raise ConfigError(f"{name}={value} is not allowed: give a number ≥ 1, or 0 {zero}")
    if deterministic and _DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DETERMINISTIC}".strip()
    with contextlib.suppress(RuntimeError):  # JAX is in use already: its devices are what they are
        wanted = count or cores or max(host.cores(), batch_devices)
        jax.config.update("jax_num_cpu_devices", wanted)
    devices = jax.local_devices()
    if count > len(devices):
        raise ConfigError(
            f"devices={count}, but there are {len(devices)}: {devices[0].device_kind}"
        )
    devices = devices[: count or None]
    if len(devices) % max(1, batch_devices):
        raise ConfigError(
            f"batch_devices={batch_devices} does not divide the {len(devices)} devices in use; "
            "choose another number, or --devices"
        )
    jax.config.update("jax_enable_x64", precision == "float64")
    if devices[0].platform != "cpu":  # whose products have one precision
        jax.config.update("jax_default_matmul_precision", precisions.of(precision).products)
    else:
        native.load(build.start())
    if cache_dir is not None:
        # Every program is worth keeping: the smallest takes longer to compile than to read.
        jax.config.update("jax_compilation_cache_dir", str(cache_dir / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return devices
