"""What tuning has measured, kept on disk: for each chip and set of versions a JSON file of numbers > 0.

Read once and written after each program, whole: a file that another process writes at the same time is the
newer or the older one, never half of it.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.measured import file_name

SCHEMA = 2


class Memory:
    """Seconds of lowerings by what was timed, and numbers of lanes that the memory held.

    Args:
        cache_dir: they are in its folder `lowerings`; None keeps them only in this process.
        chip: the name of the devices, with their number.
        versions: of all that they depend on; of others, what is on disk is not used.
    """

    def __init__(self, cache_dir: Path | None, chip: str, versions: Mapping[str, str | None]):
        self._path = cache_dir / "lowerings" / file_name(chip) if cache_dir else None
        self._about = {"schema": SCHEMA, "chip": chip, "versions": dict(versions)}
        self._numbers = self._read()

    def numbers(self, key: str) -> dict[str, float]:
        """Such as lowering → seconds; empty where nothing is known."""
        return dict(self._numbers.get(key, {}))

    def keep(self, key: str, numbers: Mapping[str, float]) -> None:
        """Keeps numbers here and, where that is possible, on disk."""
        self._numbers[key] = dict(numbers)
        if self._path is None:
            return
        content = {**self._about, "numbers": {**self._read(), **self._numbers}}
        partial = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
            partial.replace(self._path)
        except OSError:
            self._path = None  # a cache that cannot be written is no reason to stop

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            content = json.loads(self._path.read_text("utf-8")) if self._path else {}
            known = {name: content.get(name) for name in self._about} == self._about
            return content["numbers"] if known and _sound(content["numbers"]) else {}
        except (OSError, ValueError, KeyError, AttributeError, RecursionError):
            return {}


def _sound(numbers: Any) -> bool:
    return isinstance(numbers, dict) and all(
        isinstance(of, dict) and all(isinstance(n, float) and 0 < n < math.inf for n in of.values())
        for of in numbers.values()
    )
