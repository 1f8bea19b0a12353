"""One process's part of a sweep, from a checked config to a finished run directory."""

import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench import config as configs
from bench import costs as costing
from bench import host, search
from bench.config import Settings
from bench.costs import Costs, Machine, Workload
from bench.data import Dataset, load
from bench.errors import ConfigError
from bench.kernels import build
from bench.plan import Plan, plan
from bench.record import SCHEMA, Journal, RecordError, Results, write_file
from bench.report import Progress, final, planned, write_views
from bench.trial import Trial

if TYPE_CHECKING:
    from bench.pool import Pool

CACHE_DIR = host.cache_dir()
# A sweep expected to take longer is worth the seconds that measuring the machine takes, once.
MEASURE_FROM_S = 120.0


@dataclass(frozen=True)
class Options:
    """How to run what `Settings` say; none of it changes a result by more than rounding.

    Attributes:
        workdir: the run directory.
        data_dir: where data sets lie.
        devices: how many to use; 0 for all, on a CPU one for each core.
        batch_devices: how many of them share the examples of a lane.
        lanes: trials side by side in a program; 0 for as many as fit.
        strategy: "map", "vmap", "vmap:N" or "auto".
        plan: "cost", "fewest" or "separate": how trials are put together in programs.
        lowering: "auto" chooses by time; or a set of `bench.ops.lowerings`.
        retune: choose anew, whatever is remembered.
        cache_dir: for compiled programs and measured costs; None keeps none.
    """

    workdir: Path
    data_dir: Path | str | None = None
    devices: int = 0
    batch_devices: int = 1
    lanes: int = 0
    strategy: str = "auto"
    plan: str = "cost"
    lowering: str = "auto"
    retune: bool = False
    cache_dir: Path | None = CACHE_DIR


class Run:
    """A sweep in one process.

    Args:
        settings: what to train.
        options: how.
        console: where to say so.

    Raises:
        ConvoyError: data or a search space that cannot be used.
    """

    def __init__(self, settings: Settings, options: Options, console: Console):
        self.settings, self.options, self.console = settings, options, console
        self.started = time.perf_counter()
        self.dataset = load(settings.dataset, settings.data, options.data_dir)
        self.data_s = time.perf_counter() - self.started
        identity = {"data": self.dataset.fingerprint, "precision": settings.precision}
        self.sampler = search.create(settings.search, settings.trial, settings.space, identity)

    def plan_only(self) -> None:
        """Prints what would be compiled and how long it would take; no device is touched."""
        costs = self.options.cache_dir and costing.load(self.options.cache_dir)
        costs = costs or replace(costing.default("cpu"), devices=host.cores())
        count = self.options.devices or costs.devices
        machine = Machine(
            costs.platform,
            max(1, count // self.options.batch_devices),
            host.memory_bytes() // count,  # an accelerator's own is known only to itself
            compilers=host.cores(),
        )
        planned.show(self.console, self._plan(machine, costs), self.sampler.known, costs)

    def train(self) -> Results:
        """Trains the sweep, or what is left of it, and writes and prints its report.

        Raises:
            ConvoyError: anything that the user can mend; before the first write where that is possible.
        """
        options, dataset = self.options, self.dataset
        settings = self.settings.to_json()
        saved = {"schema": SCHEMA, **settings, "fingerprint": dataset.fingerprint}
        same_config(options.workdir, saved)
        sizes = (
            f"{len(dataset.train)} training, {len(dataset.valid)} validation, "
            f"{len(dataset.test)} test"
        )
        self.console.print(f"{len(self.sampler.known)} trials on {dataset.name}: {sizes} examples")
        results = _recorded(options.workdir)
        if results.finished and results.finished["reason"] == "completed":
            self.console.print(f"{options.workdir} is finished; its report follows")
        else:
            results = self._train(saved)
        final(self.console, results)
        self.console.print(
            f"written to {options.workdir}: report.md, trials.csv, curves.parquet, run.json, "
            "best.npz"
        )
        return results

    def _train(self, saved: Mapping[str, Any]) -> Results:
        # JAX takes seconds to import: whatever is wrong with a config is said before.
        build.start()  # a compiler, if one is needed, works meanwhile
        from bench import fingerprint
        from bench.devices import prepare
        from bench.sweep import Sweep

        options, workdir = self.options, self.options.workdir
        devices = prepare(
            options.devices, options.batch_devices, self.settings.precision, options.cache_dir
        )
        machine = fingerprint.machine(devices, options.batch_devices)
        decided = self._plan(machine, self._costs(machine, devices))
        pool = self._pool(decided, devices)
        begin(workdir, saved)
        with Journal(workdir / "journal.jsonl") as journal:
            results = Results.read(workdir)
            progress = Progress(self.console, len(self.sampler.known))
            limit_s = (self.settings.seconds or math.inf) - self._elapsed_s()
            sweep = Sweep(
                self.sampler, pool, self.dataset, workdir, journal, results, progress, limit_s
            )
            about = {
                "hardware": fingerprint.hardware(devices),
                "software": fingerprint.software(self.settings.precision),
            }
            sweep.record({**_run_event(self.settings, self.dataset, self.sampler.known), **about})
            try:
                with progress:
                    reason = sweep.run()
                if results.programs:  # last, so that they delay no step
                    sweep.record(*self._peaks(devices))
                ended = {"wall_s": self._elapsed_s(), "data_s": self.data_s}
                sweep.record({"event": "finish", "reason": reason, **ended})
            finally:
                write_views(workdir, results)
        return results

    def _peaks(self, devices: list[Any]) -> list[dict[str, Any]]:
        """What the devices reach at best, as an event; none if they cannot say: the sweep is done anyhow."""
        from jax.errors import JaxRuntimeError

        from bench import memory, peaks

        free = memory.free_bytes(devices[0], len(devices))
        try:
            found = peaks.measure(devices, self.settings.precision, free)
        except JaxRuntimeError as error:
            self.console.print(f"peaks could not be measured: {error}", markup=False)
            return []
        return [{"event": "peaks", **found.to_json()}]

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self.started

    def _costs(self, machine: Machine, devices: list[Any]) -> Costs:
        """Of this machine: measured before, or now if that is worth it, or assumed."""
        from bench import fingerprint

        assumed = costing.default(machine.platform)
        if self.options.cache_dir is None or self.options.plan != "cost":
            return assumed
        known = costing.load(self.options.cache_dir, fingerprint.chip(devices))
        if known is not None:
            return known
        expected = self._plan(machine, assumed)
        if len(expected.programs) == len(self.sampler.known) or (
            expected.compile_s + expected.train_s < MEASURE_FROM_S
        ):
            return assumed
        from bench.measure import measure

        self.console.print("measuring what programs cost on this machine, once")
        costs = measure(devices)
        costing.save(costs, self.options.cache_dir)
        return costs

    def _plan(self, machine: Machine, costs: Costs) -> Plan:
        return self._planner(machine, costs)(
            self.sampler.known, mode=self.options.plan, bounds=self.sampler.bounds
        )

    def _planner(self, machine: Machine, costs: Costs) -> Callable[..., Plan]:
        dataset = self.dataset
        shape, examples = dataset.image_shape, len(dataset.train)
        workload = Workload(shape, dataset.classes, examples, dataset.evaluated)
        return functools.partial(
            plan,
            workload=workload,
            machine=machine,
            lanes=self.options.lanes,
            strategy=self.options.strategy,
            costs=costs,
        )

    def _pool(self, decided: Plan, devices: list[Any]) -> "Pool":
        from bench.factory import Factory
        from bench.pool import Pool

        options = self.options
        factory = Factory(
            self.dataset,
            devices,
            options.batch_devices,
            self.settings.precision,
            options.lowering,
            options.retune,
            options.cache_dir,
            programs=len(decided.programs),
            fixed=bool(options.lanes),
            decided=_decided(options),
            strategy=options.strategy,
        )
        planner = self._planner(decided.machine, decided.costs)
        return Pool(
            decided,
            factory.program,
            functools.partial(planner, mode="separate"),
            factory.free_bytes,
            host.cores(),
            overlaps=self._overlaps(decided.machine),
        )

    def _overlaps(self, machine: Machine) -> bool:
        """Whether compiling, which the host does, leaves training alone."""
        return machine.platform != "cpu"


def _decided(options: Options) -> dict[str, dict[str, Any]]:
    """Program id → what an earlier process of this run has chosen, unless the flags say otherwise."""
    names = ("lowerings", "strategy", "evaluation_batch", "thorough")
    if options.lowering != "auto":
        return {}
    try:
        programs = json.loads((options.workdir / "plan.json").read_text())["programs"]
        return {
            program["id"]: {name: program[name] for name in names}
            for program in programs
            if options.strategy in ("auto", program["strategy"])
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def same_config(workdir: Path, saved: Mapping[str, Any]) -> None:
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


def begin(workdir: Path, saved: Mapping[str, Any]) -> None:
    """Makes the run directory, and writes the config there."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot make the run directory {workdir}: {error.strerror}") from error
    write_file(workdir / "config.json", json.dumps(saved, indent=1).encode())


def _run_event(settings: Settings, dataset: Dataset, known: Sequence[Trial]) -> dict[str, Any]:
    """What the journal says when a process begins."""
    return {
        "event": "run",
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": _about(dataset),
        "axes": list(settings.space),
        "planned": len(known),
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
