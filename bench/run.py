"""One process's part of a sweep, from a checked config to a finished run directory."""

import contextlib
import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench import host, logs, resume, search
from bench.blueprint import Blueprint, decisions
from bench.config import Settings
from bench.costs import Machine
from bench.data import Dataset, load
from bench.errors import ConvoyError, DeviceError, brief
from bench.kernels import build
from bench.lock import check_free, locked
from bench.options import Options
from bench.planner import Planner
from bench.record import SCHEMA, RecordError, Results
from bench.report import Progress, final, planned, serve, stats, units, write_views
from bench.stop import Stop
from bench.trial import Trial

if TYPE_CHECKING:
    from bench.directory import RunDirectory
    from bench.pool import Pool
    from bench.sweep import Sweep


class Run:
    """A sweep in one process.

    Args:
        settings: what to train.
        options: how.
        console: where to say so.

    Attributes:
        reason: why `train` ended: "completed", or as `Stop` has it.
        kept: whether a checkpoint of the end is on the disk.

    Raises:
        ConvoyError: data or a search space that cannot be used.
    """

    def __init__(self, settings: Settings, options: Options, console: Console):
        self.settings, self.options, self.console = settings, options, console
        self.started = time.perf_counter()
        self.reason, self.kept = "completed", True
        self.dataset = load(settings.dataset, settings.data, options.data_dir)
        self.data_s = time.perf_counter() - self.started
        identity = {"data": self.dataset.fingerprint, "precision": settings.precision}
        self.sampler = search.create(settings.search, settings.trial, settings.space, identity)

    @property
    def planner(self) -> Planner:
        return Planner(self.options, self.dataset, self.sampler, self.say)

    def plan_only(self) -> None:
        """Prints what would be compiled and how long it would take; no device is touched."""
        found = self.planner.untouched()
        planned.show(self.console, found, self.sampler.known, found.costs)

    def train(self) -> Results:
        """Trains the sweep, or what is left of it, and writes and prints its report.

        Raises:
            ConvoyError: anything that the user can mend; before the first write where that is possible.
        """
        options, dataset, known = self.options, self.dataset, self.sampler.known
        logs.check(options.log)
        settings = self.settings.to_json()
        about = {"curve_every": options.curve_every, "fingerprint": dataset.fingerprint}
        saved = {"schema": SCHEMA, **settings, **about}
        if there := resume.saved_config(options.workdir):
            resume.check_config(there, saved, self.settings, known)
        sizes = (
            f"{len(dataset.train)} training, {len(dataset.valid)} validation, "
            f"{len(dataset.test)} test"
        )
        self.say(f"{len(known)} trials on {dataset.name}: {sizes} examples")
        results = _recorded(options.workdir)
        if resume.is_done(results, known):
            self._rewrite(results)
        else:
            if options.live:
                url, self._page = serve.beside(options.workdir, options.data_dir)
                self.say(f"the report as it grows: {url}")
            with Stop(self._limit_s()) as stop:
                results = self._train(saved, results, stop)
        final(self.console, results)
        self._log(results)
        names = (
            "report.html", "report.md", "trials.csv", "curves.parquet", "losses.parquet", "run.json",
            "best.npz", "profile",
        )  # fmt: skip
        found = ", ".join(name for name in names if (options.workdir / name).exists())
        self.say(f"written to {options.workdir}: {found}")
        if self.reason != "completed":
            where = "from here" if self.kept else "from an older checkpoint, or the beginning"
            self.say(f"ended before all was done ({self.reason}); the same command goes on {where}")
        return results

    def say(self, text: str) -> None:
        """One line to the user, as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _rewrite(self, results: Results) -> None:
        """The views of a finished run, which its process may have had no time to write."""
        workdir = self.options.workdir
        self.say(f"{workdir} is finished; its report follows")
        try:
            with locked(workdir):
                write_views(workdir, results, self.dataset)
        except RecordError as error:
            self.say(f"its files stay as they are: {error}")

    def _log(self, results: Results) -> None:
        """The sweep is done: a tool that refuses is told, and no error."""
        for tool in self.options.log:
            self.say(f"logging to {tool}")
            try:
                logs.write([tool], self.options.workdir, results)
            except ConvoyError as error:
                self.say(str(error))

    def _train(self, saved: Mapping[str, Any], recorded: Results, stop: Stop) -> Results:
        # JAX takes seconds to import: whatever is wrong with a config is said before.
        build.start()  # a compiler, if one is needed, works meanwhile
        check_free(self.options.workdir)
        from bench import fingerprint
        from bench.devices import prepare
        from bench.directory import RunDirectory, read_plan

        options = self.options
        old = read_plan(options.workdir)
        devices = prepare(
            options.devices,
            options.batch_devices,
            self.settings.precision,
            options.cache_dir,
            options.deterministic,
            cores=old.devices if old else 0,
        )
        kills = host.memory_kills()
        starved = resume.short_of_memory(recorded, kills)
        blueprint = self.planner.blueprint(old, devices, starved)
        if options.verbose:
            planned.show(self.console, blueprint.plan, self.sampler.known, blueprint.plan.costs)
        pool = self._pool(blueprint, devices)
        about = {
            **_run_event(self.settings, self.dataset, self.sampler.known),
            "command": options.command,
            "hardware": fingerprint.hardware(devices),
            "software": fingerprint.software(self.settings.precision, options.deterministic),
            "memory_kills": kills,
        }
        with RunDirectory(options.workdir, options.checkpoints, self.say) as directory:
            directory.write_config(saved)
            return self._swept(directory, pool, blueprint, about, devices, stop)

    def _swept(
        self,
        directory: "RunDirectory",
        pool: "Pool",
        blueprint: Blueprint,
        about: Mapping[str, Any],
        devices: list[Any],
        stop: Stop,
    ) -> Results:
        from jax.errors import JaxRuntimeError

        from bench.keeper import Keeper
        from bench.pace import Pace
        from bench.profiler import Profiler
        from bench.sweep import Sweep

        options = self.options
        progress = Progress(self.console, len(self.sampler.known), verbose=options.verbose)
        newest = directory.newest()
        before_s = newest.about["elapsed_s"] if newest else _spent_s(directory.results)

        def write_plan() -> None:
            decided = {p.plan.id: decisions(p.plan) for p in pool if p.decided}
            directory.write_plan(replace(blueprint, plan=pool.plan, decided=decided))

        sweep = Sweep(
            self.sampler,
            pool,
            self.dataset,
            directory,
            {**about, "before_s": before_s},
            write_plan,
            progress,
            stop,
            Keeper(directory, self.dataset, options.keep),
            Profiler(options.workdir / "profile", options.profile, self.say),
            Pace(options.checkpoint_every, host.cores()),
            lambda: None if before_s is None else before_s + self._elapsed_s(),
        )
        sweep.begin(newest)
        write_plan()
        if newest:
            since = units.seconds(before_s)
            self.say(f"goes on from checkpoint {newest.number}, {since} into the run")
        try:
            with progress:
                self._finish(sweep, devices)
        except BaseException as error:
            # The first error is the one to tell.
            with contextlib.suppress(RecordError, MemoryError):
                directory.write_views(self.dataset)
            if isinstance(error, JaxRuntimeError | MemoryError):
                raise DeviceError(
                    f"the device failed ({brief(error)}); the same command goes on from the last checkpoint"
                ) from error
            raise
        directory.write_views(self.dataset)
        self.kept = directory.checkpoints.wait()
        return directory.results

    def _finish(self, sweep: "Sweep", devices: list[Any]) -> None:
        """Runs the loop to its end, and what follows it."""
        self.reason, directory = sweep.run(), sweep.directory
        if directory.results.programs and not sweep.stop.asked:  # last, so that they delay no step
            directory.record(*self._peaks(devices))
        if self.reason == "completed":
            sweep.checkpoint()
        ended = {"wall_s": self._elapsed_s(), "data_s": self.data_s}
        directory.record({"event": "finish", "reason": self.reason, **ended})

    def _limit_s(self) -> float:
        return (self.settings.seconds or math.inf) - self._elapsed_s()

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

    def _pool(self, blueprint: Blueprint, devices: list[Any]) -> "Pool":
        from bench.factory import Factory
        from bench.pool import Pool

        options, plan = self.options, blueprint.plan
        factory = Factory(
            self.dataset,
            devices,
            plan.machine.shares,
            self.settings.precision,
            options.lowering,
            options.retune,
            options.cache_dir,
            fixed=bool(options.lanes),
            decided=blueprint.decided,
            strategy=options.strategy,
            curve_every=options.curve_every,
        )
        return Pool(
            plan,
            factory.program,
            functools.partial(self.planner.of(plan.machine, plan.costs), mode="separate"),
            factory.free_bytes,
            host.cores(),
            overlaps=self._overlaps(plan.machine),
        )

    def _overlaps(self, machine: Machine) -> bool:
        """Whether compiling, which the host does, leaves training alone."""
        return machine.platform != "cpu"


def _recorded(workdir: Path) -> Results:
    """What the run directory holds already."""
    return Results.read(workdir) if (workdir / "journal.jsonl").exists() else Results()


def _spent_s(results: Results) -> float | None:
    """What a run without a checkpoint has taken so far; None if it was killed, for nobody knows."""
    return stats.totals(results).whole_s if results.runs else 0.0


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
