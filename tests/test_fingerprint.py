"""What a report says of the machine and the software."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from bench import fingerprint, host


def gpu(**stats: int) -> SimpleNamespace:
    return SimpleNamespace(platform="gpu", device_kind="Example 9", memory_stats=lambda: stats)


def test_an_accelerator_says_what_memory_it_has() -> None:
    machine = fingerprint.machine([gpu(bytes_limit=80 << 30)] * 4)
    assert (machine.platform, machine.devices, machine.memory_bytes) == ("gpu", 4, 80 << 30)
    assert fingerprint.machine([gpu()]).memory_bytes == 8 << 30  # it does not say


def test_the_devices_of_a_cpu_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory_bytes", lambda: 64 << 30)
    assert fingerprint.machine(jax.devices()[:4]).memory_bytes == 16 << 30


def test_costs_are_kept_by_chip_and_number_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint.chip([gpu(), gpu()]) == "Example 9, 2 devices"
    monkeypatch.setattr(fingerprint, "_cpu", lambda: "EPYC")
    assert fingerprint.chip(jax.devices()[:3]) == "EPYC, 3 devices"
    monkeypatch.setattr(fingerprint, "_cpu", lambda: None)
    assert fingerprint.chip(jax.devices()[:1]) == "unknown CPU, 1 devices"


def test_hardware_and_software_name_what_can_change_a_time() -> None:
    hardware = fingerprint.hardware(jax.devices()[:2])
    assert (hardware["platform"], hardware["devices"], hardware["cores"]) == (
        "cpu", 2, host.cores(),
    )  # fmt: skip
    software = fingerprint.software("float64")
    assert software["jax"] == jax.__version__
    assert software["precision"] == "float64"


def test_what_is_not_installed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_PACKAGES", ("no-such-package",))
    assert fingerprint.software("float32")["no-such-package"] is None


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert fingerprint.software("float32")["git_commit"] is None
    monkeypatch.setattr(fingerprint, "__file__", str(tmp_path / "bench" / "fingerprint.py"))
    assert fingerprint.software("float32")["git_commit"] is None
