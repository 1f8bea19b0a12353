"""What this process may use, by made-up files of the kernel's."""

import os
from pathlib import Path

import pytest

from bench import host

GB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 GB, 50 of them free, without control groups, and its folder of files."""
    real = Path.read_text

    def read_text(self: Path, *arguments: object, **named: object) -> str:
        if self.parts[:2] == ("/", "proc"):
            self = tmp_path / "proc" / Path(*self.parts[2:])
        return real(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(host, "_CONTROL_GROUPS", tmp_path / "groups")
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GB // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    write(tmp_path, "proc/meminfo", f"MemTotal: {64 << 20} kB\nMemAvailable: {50 << 20} kB\n")
    return tmp_path


def write(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def both() -> tuple[float, float]:
    """Gigabytes in all, and free."""
    return host.memory_bytes() / GB, host.free_bytes() / GB


def test_without_control_groups(machine: Path) -> None:
    assert both() == (64, 50)


def test_a_container_of_version_2(machine: Path) -> None:
    """Its own group is the root of what it sees."""
    write(machine, "proc/self/cgroup", "0::/")
    write(machine, "groups/memory.max", 8 * GB)
    write(machine, "groups/memory.current", 3 * GB)
    assert both() == (8, 5)
    write(machine, "groups/memory.stat", f"anon {GB}\nactive_file {GB}\ninactive_file {2 * GB}")
    assert both() == (8, 7)  # files are kept for speed alone, where they are not in use


def test_a_container_of_version_1(machine: Path) -> None:
    """The controllers have folders of their own; the path is the machine's, not the container's."""
    write(
        machine, "proc/self/cgroup", "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n1:name=systemd:/"
    )
    write(machine, "groups/memory/memory.limit_in_bytes", 6 * GB)
    write(machine, "groups/memory/memory.usage_in_bytes", 4 * GB)
    assert both() == (6, 2)


@pytest.mark.parametrize(
    ("line", "root", "limit", "used"),
    [
        ("0::/a/b/c", "groups", "memory.max", "memory.current"),
        ("7:cpu,memory:/a/b/c", "groups/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
    ids=["version 2", "version 1"],
)
def test_nested_groups(machine: Path, line: str, root: str, limit: str, used: str) -> None:
    """The lowest limit of all parents holds, and what is free is the least of all."""
    write(machine, "proc/self/cgroup", line)
    write(machine, f"{root}/a/{limit}", 20 * GB)
    write(machine, f"{root}/a/{used}", 18 * GB)
    write(machine, f"{root}/a/b/{limit}", 10 * GB)
    write(machine, f"{root}/a/b/{used}", 1 * GB)
    write(machine, f"{root}/a/b/c/{limit}", "max")
    assert both() == (10, 2)
    write(machine, f"{root}/a/b/c/{limit}", 3 * GB)
    assert both() == (3, 2)
    write(machine, f"{root}/elsewhere/{limit}", GB)
    assert both() == (3, 2)


def test_a_group_of_another_controller_does_not_limit(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "5:cpu:/a")
    write(machine, "groups/memory/a/memory.limit_in_bytes", GB)
    assert both() == (64, 50)


@pytest.mark.parametrize("content", ["max", str((1 << 63) - 4096)])
def test_no_limit(machine: Path, content: str) -> None:
    """Both versions' ways to say it; what such a group uses is no matter."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        write(machine, f"groups/{name}", content)
    write(machine, "groups/memory.current", 60 * GB)
    write(machine, "groups/memory/memory.usage_in_bytes", 60 * GB)
    assert both() == (64, 50)


def test_a_limit_above_the_machines_memory(machine: Path) -> None:
    write(machine, "groups/memory.max", 100 * GB)
    write(machine, "groups/memory.current", GB)
    assert both() == (64, 50)


def test_more_in_use_than_allowed(machine: Path) -> None:
    """A limit that was lowered: nothing is free, not less than nothing."""
    write(machine, "groups/memory.max", GB)
    write(machine, "groups/memory.current", 2 * GB)
    assert both() == (1, 0)


@pytest.mark.parametrize("content", ["", "MemTotal: 5 kB", "MemAvailable:", "MemAvailable: x kB"])
def test_a_system_that_does_not_say_what_is_free(machine: Path, content: str) -> None:
    write(machine, "proc/meminfo", content)
    assert both() == (64, 64)
    (machine / "proc/meminfo").unlink()
    assert both() == (64, 64)


@pytest.mark.parametrize("content", ["", "nonsense", "inactive_file x", "inactive_file 1 2"])
def test_damaged_statistics_of_a_group(machine: Path, content: str) -> None:
    write(machine, "groups/memory.max", 8 * GB)
    write(machine, "groups/memory.current", 3 * GB)
    write(machine, "groups/memory.stat", content)
    assert both() == (8, 5)


def test_this_computer() -> None:
    assert 1 <= host.cores() <= (os.cpu_count() or 1)
    assert 0 < host.free_bytes() <= host.memory_bytes()


def test_cores_where_nothing_is_said_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert host.cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert host.cores() == 1


def test_kills_for_want_of_memory(machine: Path) -> None:
    assert host.memory_kills() is None
    write(machine, "proc/vmstat", "nr_free_pages 7\noom_kill 9")
    assert host.memory_kills() == 9
    write(machine, "proc/self/cgroup", "0::/user/a")
    write(machine, "groups/user/memory.events", "low 0\noom 4\noom_kill 3")
    assert host.memory_kills() == 3
    write(machine, "groups/user/a/memory.events", "low 0\noom 1\noom_kill 1")
    assert host.memory_kills() == 1
    write(machine, "proc/self/cgroup", "4:memory:/")
    write(
        machine, "groups/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2"
    )
    assert host.memory_kills() == 2
