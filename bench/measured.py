"""The constants of machines that `bench.measure` has measured, kept on disk: a JSON file for each chip."""

import functools
import hashlib
import json
import os
import re
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from bench.costs import Costs

SCHEMA = 2  # of the files that `save` writes
MOST = 1e30  # of any constant that a file may hold


def save(costs: Costs, cache_dir: Path) -> Path:
    """Keeps measured constants in `cache_dir`/costs. Returns the path of the file."""
    path = cache_dir / "costs" / file_name(costs.chip)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "jax": _jax_version(), "costs": asdict(costs)}
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)
    return path


def load(cache_dir: Path, chip: str | None = None) -> Costs | None:
    """The constants that `save` kept for `chip`, or for None the newest of all.

    None where there are none, or they are damaged, or of another version of JAX or of this file's schema.
    """
    try:
        pattern = "*.json" if chip is None else file_name(chip)
        files = sorted((cache_dir / "costs").glob(pattern), key=lambda p: -p.stat().st_mtime)
    except OSError:
        return None
    return next(filter(None, map(_read, files)), None)


def _read(path: Path) -> Costs | None:
    try:
        content = json.loads(path.read_text())
        costs = Costs(**content["costs"])
        known = (content["schema"], content["jax"]) == (SCHEMA, _jax_version())
        return costs if known and _sound(costs) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _sound(costs: Costs) -> bool:
    texts = (costs.chip, costs.platform, costs.measured)
    numbers = [v for k, v in vars(costs).items() if k not in ("chip", "platform", "measured")]
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(v, int | float) and 0 <= v < MOST for v in numbers)
        and min(costs.flops_per_s, costs.bytes_per_s, costs.devices) > 0
    )


def file_name(chip: str) -> str:
    # Names that differ only in what a file name cannot hold must not share a file.
    digest = hashlib.sha256(chip.encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9]+', '-', chip)[:48]}-{digest}.json"


@functools.cache
def _jax_version() -> str:
    try:
        return metadata.version("jax")
    except metadata.PackageNotFoundError:
        return ""
