"""What tuning has measured, kept on disk: for each chip and set of versions a JSON file of times.

Read once and written after each program, whole: a file that another process writes at the same time is the
newer or the older one, never half of it.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.costs import file_name

SCHEMA = 1


class Memory:
    """Times of lowerings by what was timed.

    Args:
        cache_dir: times are in its folder `lowerings`; None keeps them only in this process.
        chip: the name of the devices, with their number.
        versions: of all that the times depend on; of others, what is on disk is not used.
    """

    def __init__(self, cache_dir: Path | None, chip: str, versions: Mapping[str, str | None]):
        self._path = cache_dir / "lowerings" / file_name(chip) if cache_dir else None
        self._about = {"schema": SCHEMA, "chip": chip, "versions": dict(versions)}
        self._times = self._read()

    def times(self, key: str) -> dict[str, float]:
        """Lowering → seconds; empty where nothing is known."""
        return dict(self._times.get(key, {}))

    def keep(self, key: str, times: Mapping[str, float]) -> None:
        """Keeps times here and, where that is possible, on disk."""
        self._times[key] = dict(times)
        if self._path is None:
            return
        content = {**self._about, "times": {**self._read(), **self._times}}
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
            return content["times"] if known and _sound(content["times"]) else {}
        except (OSError, ValueError, KeyError, AttributeError, RecursionError):
            return {}


def _sound(times: Any) -> bool:
    return isinstance(times, dict) and all(
        isinstance(of, dict) and all(isinstance(s, float) and 0 < s < math.inf for s in of.values())
        for of in times.values()
    )
