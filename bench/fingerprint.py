"""What a run is timed on: the machine and the software, as far as they tell. Unknown is None."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from bench import host
from bench.costs import Machine
from bench.ops import native

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def machine(devices: Sequence[jax.Device]) -> Machine:
    """What the planner needs to know of the devices, each with lanes of its own."""
    if devices[0].platform == "cpu":
        memory = host.memory_bytes() // len(devices)
    else:
        stats = devices[0].memory_stats() or {}
        memory = int(stats.get("bytes_limit", 8 * 2**30))
    return Machine(devices[0].platform, len(devices), memory, compilers=host.cores())


def chip(devices: Sequence[jax.Device]) -> str:
    """The name under which costs are kept: the accelerator's, or the processor's and its cores in use."""
    if devices[0].platform == "cpu":
        return f"{_cpu() or 'unknown CPU'}, {len(devices)} devices"
    return f"{devices[0].device_kind}, {len(devices)} devices"


def hardware(devices: Sequence[jax.Device]) -> dict[str, Any]:
    """The machine, for a report."""
    return {
        "cpu": _cpu(),
        "cores": host.cores(),
        "memory_bytes": host.memory_bytes(),
        "platform": devices[0].platform,
        "devices": len(devices),
        "device_kind": devices[0].device_kind,
        "machine": platform.machine(),
        "system": platform.system(),
    }


def software(precision: str, deterministic: bool = False) -> dict[str, Any]:
    """Versions and settings that can change a result or a time."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "git_commit": _commit(),
        "kernels": native.compiler(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "matmul_precision": getattr(jax.config, "jax_default_matmul_precision", None) or "default",
        "precision": precision,
        "deterministic": deterministic,
    }


def compilers() -> dict[str, str | None]:
    """The versions on which the speed of a lowering depends."""
    return {**{name: _version(name) for name in ("jax", "jaxlib")}, "kernels": native.key()}


def _cpu() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this checkout, with a + where files differ from it."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
