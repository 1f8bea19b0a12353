"""One process's part of a sweep, from a checked config to a finished run directory."""

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench import config as configs
from bench import plan as planning
from bench import search
from bench.config import Settings
from bench.data import Dataset, load
from bench.errors import ConfigError
from bench.record import SCHEMA, Journal, RecordError, Results, write_file
from bench.report import Progress, final, write_views

if TYPE_CHECKING:
    from bench.search import Sampler

CACHE_DIR = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convoy"


@dataclass(frozen=True)
class Options:
    """How to run what `Settings` say; none of it changes a result by more than rounding.

    Attributes:
        workdir: the run directory.
        data_dir: where data sets lie.
        devices: how many to use; 0 for all, on a CPU one for each core.
        lanes: trials side by side in a program; 0 for as many as fit.
        strategy: "map", "vmap" or "auto".
        cache_dir: for compiled programs; None keeps none.
    """

    workdir: Path
    data_dir: Path | str | None = None
    devices: int = 0
    lanes: int = 0
    strategy: str = "auto"
    cache_dir: Path | None = CACHE_DIR


def train(settings: Settings, options: Options, console: Console) -> Results:
    """Trains a sweep, or what is left of it, and writes and prints its report.

    Raises:
        ConvoyError: anything that the user can mend; before the first write where that is possible.
    """
    started = time.perf_counter()
    dataset = load(settings.dataset, settings.data, options.data_dir)
    data_s = time.perf_counter() - started
    identity = {"data": dataset.fingerprint, "precision": settings.precision}
    sampler = search.create(settings.search, settings.trial, settings.space, identity)
    saved = {"schema": SCHEMA, **settings.to_json(), "fingerprint": dataset.fingerprint}
    _same_config(options.workdir, saved)
    sizes = (
        f"{len(dataset.train)} training, {len(dataset.valid)} validation, {len(dataset.test)} test"
    )
    console.print(f"{len(sampler.known)} trials on {dataset.name}: {sizes} examples")
    results = _recorded(options.workdir)
    if results.finished and results.finished["reason"] == "completed":
        console.print(f"{options.workdir} is finished; its report follows")
    else:
        results = _train(settings, options, console, dataset, sampler, saved, started, data_s)
    final(console, results)
    console.print(
        f"written to {options.workdir}: report.md, trials.csv, curves.parquet, run.json, best.npz"
    )
    return results


def _train(
    settings: Settings,
    options: Options,
    console: Console,
    dataset: Dataset,
    sampler: "Sampler",
    saved: Mapping[str, Any],
    started: float,
    data_s: float,
) -> Results:
    # JAX takes seconds to import: whatever is wrong with a config is said before.
    devices = _devices(options, settings.precision)
    from bench import timing
    from bench.device_data import DeviceData
    from bench.lanes import Lanes, lane_mesh
    from bench.program import Program
    from bench.sweep import Sweep

    workload = planning.Workload(dataset.image_shape, dataset.classes, len(dataset.train))
    plans = planning.plan(
        sampler.known, workload, timing.machine(devices), options.lanes, options.strategy
    )
    data = DeviceData(dataset, lane_mesh(devices))
    programs = [Program(Lanes(plan, data, settings.precision)) for plan in plans]
    home = planning.by_trial(plans)
    _begin(options.workdir, saved, [plan.to_json() for plan in plans])
    with Journal(options.workdir / "journal.jsonl") as journal:
        results = Results.read(options.workdir)
        progress = Progress(console, len(sampler.known))
        sweep = Sweep(
            sampler,
            programs,
            lambda trial: home[trial.id].id,
            dataset,
            options.workdir,
            journal,
            results,
            progress,
            limit_s=(settings.seconds or math.inf) - (time.perf_counter() - started),
            compilers=timing.cores(),
        )
        sweep.record(
            {
                **_run_event(settings, dataset, len(sampler.known)),
                "hardware": timing.hardware(devices),
                "software": timing.software(settings.precision),
            }
        )
        try:
            with progress:
                reason = sweep.run()
            wall_s = time.perf_counter() - started
            sweep.record({"event": "finish", "reason": reason, "wall_s": wall_s, "data_s": data_s})
        finally:
            write_views(options.workdir, results)
    return results


def _devices(options: Options, precision: str) -> list[Any]:
    """Sets JAX up, before its first use, and returns the devices to run on."""
    import jax

    from bench import timing

    if options.devices < 0:
        raise ConfigError(
            f"devices={options.devices} is not allowed: give a number ≥ 1, or 0 for all"
        )
    with contextlib.suppress(RuntimeError):  # JAX is in use already: its devices are what they are
        jax.config.update("jax_num_cpu_devices", options.devices or timing.cores())
    jax.config.update("jax_enable_x64", precision == "float64")
    if options.cache_dir is not None:
        # Every program is worth keeping: the smallest takes longer to compile than to read.
        jax.config.update("jax_compilation_cache_dir", str(options.cache_dir / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    devices = jax.local_devices()
    if options.devices > len(devices):
        raise ConfigError(
            f"devices={options.devices}, but there are {len(devices)}: {devices[0].device_kind}"
        )
    return devices[: options.devices or None]


def _same_config(workdir: Path, saved: Mapping[str, Any]) -> None:
    """Refuses a run directory that another config has begun. Its time limit may differ."""
    path = workdir / "config.json"
    try:
        there = json.loads(path.read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path} ({error}); use another --workdir") from error
    here = json.loads(json.dumps(saved))
    differing = configs.differences({**there, "budget": None}, {**here, "budget": None})
    if differing:
        raise ConfigError(
            f"{workdir} holds a run of another config ({'; '.join(differing[:5])}); "
            "use another --workdir"
        )


def _recorded(workdir: Path) -> Results:
    """What the run directory holds already."""
    return Results.read(workdir) if (workdir / "journal.jsonl").exists() else Results()


def _begin(workdir: Path, saved: Mapping[str, Any], plans: list[dict[str, Any]]) -> None:
    """Makes the run directory."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot make the run directory {workdir}: {error.strerror}") from error
    write_file(workdir / "config.json", json.dumps(saved, indent=1).encode())
    write_file(workdir / "plan.json", json.dumps({"programs": plans}, indent=1).encode())


def _run_event(settings: Settings, dataset: Dataset, planned: int) -> dict[str, Any]:
    """What the journal says when a process begins."""
    return {
        "event": "run",
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": _about(dataset),
        "axes": list(settings.space),
        "planned": planned,
    }


def _about(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "train": len(dataset.train),
        "valid": len(dataset.valid),
        "test": len(dataset.test),
        "classes": dataset.classes,
        "class_names": dataset.class_names,
        "licence": dataset.licence,
        "preprocessing": dataset.preprocessing.to_json(),
    }
