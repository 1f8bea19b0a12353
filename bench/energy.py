"""How much energy the devices have taken, where NVML or RAPL tells. Unknown is None.

    meter = energy.meter("gpu", devices=1)
    before = meter.joules()
    …
    after = meter.joules()      # their difference, in joules, or None if either is

NVML (through the optional package `pynvml`) counts for each GPU alone, memory included, host excluded. RAPL
counts for each processor package, whoever uses it, main memory excluded; most systems let root alone read it.

Sources: NVML API Reference, `nvmlDeviceGetTotalEnergyConsumption`; Linux, Documentation/power/powercap.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_RAPL = Path("/sys/class/powercap")
_NOTHING = "unknown"
ReadText = Callable[[Path], str]


class Meter:
    """A counter of joules.

    Args:
        source: who counts: "NVML", "RAPL" or "unknown".
        read: joules since some moment, growing; None where they cannot be read.
    """

    def __init__(self, source: str = _NOTHING, read: Callable[[], float | None] = lambda: None):
        self.source, self.joules = source, read


def meter(platform: str, devices: int) -> Meter:
    """The meter of these devices; one that knows nothing where nobody counts.

    Args:
        platform: JAX's name: RAPL counts for "cpu", NVML for "gpu".
        devices: how many are in use. GPUs beside them would be counted too, so then nothing is.
    """
    if platform == "cpu":
        return rapl()
    return nvml(devices) if platform in ("gpu", "cuda") else Meter()


def rapl(folder: Path = _RAPL, text: ReadText = Path.read_text) -> Meter:
    """The processor packages together.

    Args:
        folder: where the kernel shows its power zones.
        text: reads a file.
    """
    packages = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _is_package(zone, text)]
    try:
        counters = [_Counter(zone, text) for zone in packages]
    except (OSError, ValueError):  # often root's alone
        return Meter()

    def joules() -> float | None:
        try:
            return sum(counter.microjoules() for counter in counters) / 1e6
        except (OSError, ValueError):
            return None

    return Meter("RAPL", joules) if counters else Meter()


def _is_package(zone: Path, text: ReadText) -> bool:
    """Not a part of a package (core, dram), nor the whole platform (psys), which has the packages in it."""
    try:
        return text(zone / "name").startswith("package")
    except OSError:
        return False


class _Counter:
    """One zone's counter, which starts again from 0 when it is full.

    It must be read more often than it fills up, which takes minutes at least.
    """

    def __init__(self, zone: Path, text: ReadText):
        self._zone, self._text = zone, text
        self._size = int(text(zone / "max_energy_range_uj"))
        self._last, self._sum = self._now(), 0

    def _now(self) -> int:
        return int(self._text(self._zone / "energy_uj"))

    def microjoules(self) -> int:
        """Since this counter was made."""
        now = self._now()
        self._sum += now - self._last + (self._size if now < self._last else 0)
        self._last = now
        return self._sum


def nvml(devices: int, library: Any = None) -> Meter:
    """The GPUs together.

    Args:
        devices: how many are in use. Where NVML sees more, which of them those are is not known.
        library: `pynvml`; imported if None.
    """
    try:
        if library is None:
            import pynvml as library  # type: ignore[import-not-found,no-redef]
        library.nvmlInit()
        handles = _handles(library, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if len(handles) != devices or _sum(library, handles) is None:
            return Meter()
    except Exception:  # no package, no driver, no such GPU: NVML has an error class of its own
        return Meter()
    return Meter("NVML", lambda: _sum(library, handles))


def _handles(library: Any, visible: str | None) -> Sequence[Any]:
    """All GPUs, or those that CUDA is shown by name. By number they may be others: the orders differ."""
    if visible and visible.startswith("GPU-"):
        return [library.nvmlDeviceGetHandleByUUID(name) for name in visible.split(",")]
    return [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]


def _sum(library: Any, handles: Sequence[Any]) -> float | None:
    """Joules of all; NVML counts in thousandths. None for GPUs older than Volta."""
    try:
        return sum(map(library.nvmlDeviceGetTotalEnergyConsumption, handles)) / 1e3
    except library.NVMLError:
        return None
