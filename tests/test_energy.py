"""Counters of energy, by made-up files and a made-up library."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import energy
from bench.energy import Meter, meter, nvml, rapl


def zone(folder: Path, name: str, kind: str, now: int = 0, size: int = 1000) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(kind + "\n")
    (made / "energy_uj").write_text(f"{now}\n")
    (made / "max_energy_range_uj").write_text(f"{size}\n")
    return made / "energy_uj"


def test_packages_add_up_and_parts_and_platform_do_not(tmp_path: Path) -> None:
    one = zone(tmp_path, "intel-rapl:0", "package-0", 5)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 7)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core"),
        zone(tmp_path, "intel-rapl:0:1", "dram"),
        zone(tmp_path, "intel-rapl:2", "psys"),
    ]
    found = rapl(tmp_path)
    assert (found.source, found.joules()) == ("RAPL", 0)
    for counter in (one, two, *others):
        counter.write_text("500\n")
    assert found.joules() == pytest.approx((495 + 493) / 1e6)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=30), st.integers(0, 999))
@settings(deadline=None, max_examples=60, database=None)
def test_a_counter_that_starts_again_from_0_loses_nothing(steps: list[int], start: int) -> None:
    """It never fills up between two readings: a step is shorter than its size."""
    now, size = start, 1000
    files = {"name": "package-0", "max_energy_range_uj": str(size)}

    class Folder:
        def glob(self, _: str) -> Iterator[Path]:
            yield Path("intel-rapl:0")

    def text(path: Path) -> str:
        return files.get(path.name) or f"{now % size}\n"

    folder: Any = Folder()
    found = rapl(folder, text)
    for done, step in enumerate(steps, 1):
        now += step
        assert found.joules() == pytest.approx(sum(steps[:done]) / 1e6)


def test_what_root_alone_may_read_is_unknown(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    forbidden = True

    def text(path: Path) -> str:
        if path.name == "energy_uj" and forbidden:
            raise PermissionError(13, "Permission denied")
        return path.read_text()

    assert rapl(tmp_path, text).source == "unknown"
    assert rapl(tmp_path, text).joules() is None
    forbidden = False
    readable = rapl(tmp_path, text)
    assert readable.joules() == 0
    forbidden = True
    assert readable.joules() is None


@pytest.mark.parametrize("wrong", ["", "many\n"])
def test_a_damaged_counter_is_unknown(tmp_path: Path, wrong: str) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0").write_text(wrong)
    assert rapl(tmp_path).joules() is None


def test_a_machine_without_counters_is_unknown(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        assert rapl(folder).source == "unknown"
        assert rapl(folder).joules() is None


class NVMLError(Exception):
    pass


def library(millijoules: list[int], error: bool = False) -> Any:
    def energy_of(handle: int) -> int:
        if error:
            raise NVMLError("Not Supported")
        return millijoules[handle]

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(millijoules),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=lambda name: {"GPU-a": 0, "GPU-b": 1}[name],
        nvmlDeviceGetTotalEnergyConsumption=energy_of,
    )


def test_gpus_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    counts = [1500, 500]
    found = nvml(2, library(counts))
    assert (found.source, found.joules()) == ("NVML", 2.0)
    counts[0] += 3000
    assert found.joules() == 5.0


def test_gpus_that_are_not_in_use_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvml(1, library([1500, 500])).joules() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # CUDA's number, not NVML's
    assert nvml(1, library([1500, 500])).joules() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert nvml(1, library([1500, 500])).joules() == 0.5
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-unknown")
    assert nvml(1, library([1500, 500])).joules() is None


def test_a_gpu_that_does_not_count_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = nvml(1, library([1], error=True))
    assert (found.source, found.joules()) == ("unknown", None)


def test_each_platform_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "rapl", lambda: Meter("RAPL"))
    monkeypatch.setattr(energy, "nvml", lambda devices: Meter(f"NVML {devices}"))
    assert [meter(platform, 3).source for platform in ("cpu", "gpu", "tpu")] == [
        "RAPL",
        "NVML 3",
        "unknown",
    ]
