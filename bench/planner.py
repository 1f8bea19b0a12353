"""The plan of a run: of a new one by what programs cost here, of one that goes on by its own `plan.json`."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bench import host, measured, plan, resume
from bench.blueprint import Blueprint
from bench.costs import Costs, Machine, Workload, default
from bench.data import Dataset
from bench.options import Options
from bench.plan import Plan
from bench.search import Sampler

# A sweep expected to take longer is worth the seconds that measuring the machine takes, once.
MEASURE_FROM_S = 120.0

# A device's share of a batch that is known to be worth what the devices must tell each other.
LEAST_SHARE = 16
# Of the seconds of training, that sharing must be expected to leave: less is not worth another way to run.
WORTH = 0.9


def shares(devices: int, cores: int, batch: int) -> list[int]:
    """How many devices of a CPU may share the examples of a lane.

    Args:
        devices: how many there are, of which all are divisors.
        cores: of the machine: more devices than these are at work one after another.
        batch: the least of the batch sizes.
    """
    most = max(1, min(devices, cores, batch // LEAST_SHARE))
    return [share for share in range(1, most + 1) if devices % share == 0]


class Planner:
    """Plans for one data set and the trials of one sampler.

    Args:
        options: of the command line.
        dataset: that programs train on.
        sampler: whose trials need programs.
        say: what is told to the user, a line at a time.
    """

    def __init__(
        self, options: Options, dataset: Dataset, sampler: Sampler, say: Callable[[str], None]
    ):
        self.options, self.sampler, self._say = options, sampler, say
        examples = len(dataset.train)
        self._workload = Workload(dataset.image_shape, dataset.classes, examples, dataset.evaluated)

    def untouched(self) -> Plan:
        """The plan as far as it can be known without touching a device."""
        costs = self.options.cache_dir and measured.load(self.options.cache_dir)
        costs = costs or replace(default("cpu"), devices=host.cores())
        count = self.options.devices or costs.devices
        machine = Machine(
            costs.platform,
            count,
            host.memory_bytes() // count,  # an accelerator's own is known only to itself
            compilers=host.cores(),
        )
        return self._planned(machine, costs)

    def plan(self, machine: Machine, costs: Costs) -> Plan:
        """The plan of all trials."""
        mode, bounds = self.options.plan, self.sampler.bounds
        return self.of(machine, costs)(self.sampler.known, mode=mode, bounds=bounds)

    def of(self, machine: Machine, costs: Costs) -> Callable[..., Plan]:
        """`bench.plan.plan`, still to be told trials and mode."""
        return functools.partial(
            plan.plan,
            workload=self._workload,
            machine=machine,
            lanes=self.options.lanes,
            strategy=self.options.strategy,
            costs=costs,
        )

    def blueprint(
        self, old: Blueprint | None, devices: list[Any], starved: bool = False
    ) -> Blueprint:
        """The plan of a new run; or that of a run that goes on, with what it lacks.

        Args:
            old: as its run directory has it.
            devices: of JAX.
            starved: the last process was killed for want of memory.
        """
        from bench import fingerprint

        where, chip = fingerprint.machine(devices), fingerprint.chip(devices)
        if old is None:
            planned = self._planned(where, self._costs(where, devices))
        elif self._is_of(old, chip):
            planned = old.plan
        else:
            planned = self._planned(where, old.plan.costs)
        where = where.shared(planned.machine.shares)
        versions = {**fingerprint.compilers(), "xla_flags": os.environ.get("XLA_FLAGS", "")}
        machine = {"chip": chip, "batch_devices": where.shares, **versions}
        if old is None:
            return Blueprint(planned, {}, self.options.flags(), machine)
        return self._continued(old, machine, where, starved)

    def _is_of(self, old: Blueprint, chip: str) -> bool:
        """Whether a plan is of this machine and all trials, so that as many devices share a lane as there."""
        asked, here = self.options.batch_devices, old.plan.machine.shares
        known = not resume.unplanned(old, self.sampler.known)
        return chip == old.machine.get("chip") and known and asked in (0, here)

    def _continued(
        self, old: Blueprint, here: Mapping[str, Any], where: Machine, starved: bool
    ) -> Blueprint:
        """The plan of a run that goes on: see `blueprint`, and for `here` and `where` `resume.adapted`."""
        options = self.options
        found, differing = resume.adapted(old, options.flags(), here, where)
        if differing:
            self._say(
                f"not as the run began ({'; '.join(differing[:5])}): results from here on agree to "
                "rounding, not to the bit"
            )
        if options.retune:
            found = replace(found, decided={})
        if starved:
            found = resume.with_fewer_lanes(found)
            self._say(
                "the system killed the last process for want of memory: half the lanes from here on"
            )
        if new := resume.unplanned(found, self.sampler.known):
            more = self.of(where, found.plan.costs)(
                new, mode=options.plan, bounds=self.sampler.bounds
            )
            found = replace(found, plan=found.plan.extended(more))
        return found

    def _planned(self, machine: Machine, costs: Costs) -> Plan:
        """The plan with as many devices to a lane as are asked for, or make training the shortest.

        Where a program has fewer trials than there are devices, the others would be idle.
        """
        if asked := self.options.batch_devices:
            return self.plan(machine.shared(asked), costs)
        found = self.plan(machine, costs)
        # Accelerators have not been measured.
        if machine.platform == "cpu" and any(
            len(p.trials) < machine.devices for p in found.programs
        ):
            batch = min(p.batch_sizes[0] for p in found.programs)
            for share in shares(machine.devices, host.cores(), batch)[1:]:
                other = self.plan(machine.shared(share), costs)
                found = other if other.train_s < WORTH * found.train_s else found
        return found

    def _costs(self, machine: Machine, devices: list[Any]) -> Costs:
        """Of this machine: measured before, or now if that is worth it, or assumed."""
        from bench import fingerprint

        assumed = default(machine.platform)
        if self.options.cache_dir is None or self.options.plan != "cost":
            return assumed
        known = measured.load(self.options.cache_dir, fingerprint.chip(devices))
        if known is not None:
            return known
        expected = self.plan(machine, assumed)
        if len(expected.programs) == len(self.sampler.known) or (
            expected.compile_s + expected.train_s < MEASURE_FROM_S
        ):
            return assumed
        from bench.measure import measure

        self._say("measuring what programs cost on this machine, once")
        costs = measure(devices)
        measured.save(costs, self.options.cache_dir)
        return costs
