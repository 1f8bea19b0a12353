"""The computer that this process runs on: processors and memory, its container's limits counted in."""

import os
import platform
from pathlib import Path

_NO_LIMIT = 1 << 62
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def cache_dir() -> Path:
    """Where the user's caches of Convoy lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convoy"


def cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Its name and all that it can do, as the system tells: what compiled code may depend on."""
    wanted = ("model name", "flags", "Features", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return " ".join((platform.machine(), platform.processor(), platform.node()))
    return "; ".join(sorted({line for line in lines if line.startswith(wanted)}))


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or its container's limit where that is lower."""
    return min(_physical(), *map(_limit, _groups()))


def free_bytes() -> int:
    """What of it is free now, files that are kept in memory for speed counted as free."""
    return min(_available(), *map(_free, _groups()))


def memory_kills() -> int | None:
    """How many processes the kernel has killed here for want of memory; None where it does not say.

    Here is the innermost control group that counts them, or else the machine.
    """
    for group in reversed(_groups()):
        for name in ("memory.events", "memory.oom_control"):
            if (count := _counter(group / name, "oom_kill")) is not None:
                return count
    return _counter(Path("/proc/vmstat"), "oom_kill")


def _counter(path: Path, name: str) -> int | None:
    try:
        rows = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
        return int(rows[name])
    except (OSError, ValueError, KeyError):
        return None


def _physical() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return _physical()


def _groups() -> list[Path]:
    """Folders of the control groups, of either version, that this process is in, and of their parents."""
    found = [_CONTROL_GROUPS, _CONTROL_GROUPS / "memory"]  # in a container, these are its own
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            root = _CONTROL_GROUPS / ("memory" if controllers else "")
            parts = Path(path.strip("/")).parts
            found += [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return found


def _limit(group: Path) -> int:
    return _number(group, ("memory.max", "memory.limit_in_bytes"), _NO_LIMIT)


def _free(group: Path) -> int:
    limit = _limit(group)
    used = _number(group, ("memory.current", "memory.usage_in_bytes"), 0)
    return max(0, limit - used + _kept(group)) if limit < _NO_LIMIT else limit


def _number(group: Path, names: tuple[str, str], otherwise: int) -> int:
    for name in names:
        try:
            return int((group / name).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return otherwise


def _kept(group: Path) -> int:
    """Files that the group keeps in memory and gives up when asked."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
        rows = dict(line.split() for line in lines)
        return int(rows.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0
