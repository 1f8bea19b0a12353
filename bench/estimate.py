"""What a program compiles, and the seconds and bytes that are expected of it."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import costs as model
from bench.cells import Cell, widest
from bench.costs import FLOAT_BYTES, Costs, Machine, Workload
from bench.layers import Layers

MOST_LANES = 512
# Of the states of lanes in turn, of one program or of several: every checkpoint copies and writes them all,
# and more lanes at work are no faster.
STATES_BYTES = 1 << 30
MEMORY_SHARE = 0.5  # of a device's memory, that programs may fill
# Activations are kept for the backward pass, and 3×3 convolutions unfold theirs ninefold.
COPIES_OF_ACTIVATIONS = 12
EVALUATION_BATCH = 256
PROBE_S = 0.1  # of a dispatch that is timed: long beside what a dispatch costs by itself


@dataclass(frozen=True)
class Executable:
    """What a program compiles, as far as its costs go; for the fields see `ProgramPlan`."""

    layers: Layers
    microbatch: int
    optimizers: tuple[str, ...]
    accumulates: bool
    augment: bool


def executable(cells: Sequence[Cell]) -> Executable:
    """What a program of these cells compiles."""
    batches = {cell.batch_size for cell in cells}
    return Executable(
        layers=widest(cell.layers for cell in cells),
        microbatch=math.gcd(*batches),
        optimizers=tuple(sorted({cell.family for cell in cells})),
        accumulates=len(batches) > 1,
        augment=any(cell.augment for cell in cells),
    )


@dataclass(frozen=True)
class Tally:
    """How much work trials are.

    Attributes:
        trials: how many.
        epochs: of all of them together.
        longest: epochs of the longest.
        touched: numbers per parameter that all their updates read and write, by their own families.
    """

    trials: int
    epochs: int
    longest: int
    touched: float


def tally(cells: Iterable[Cell], workload: Workload, bounds: bool = True) -> Tally:
    """The work of all trials of `cells`, or of the known ones alone."""
    epochs, touched = [], 0.0
    for cell in cells:
        own = [t["epochs"] for t in (*cell.trials, *(cell.bounds if bounds else ()))]
        touched += sum(own) * touched_an_epoch(cell, workload)
        epochs += own
    return Tally(len(epochs), sum(epochs), max(epochs, default=0), touched)


def touched_an_epoch(cell: Cell, workload: Workload) -> int:
    """Numbers per parameter that one trial's updates read and write in an epoch."""
    return math.ceil(workload.train_examples / cell.batch_size) * model.touched((cell.family,))


def evaluation_batch(microbatch: int, strategy: str) -> int:
    """Examples in a forward pass of evaluation: side by side, no more than memory holds in training."""
    return EVALUATION_BATCH if strategy == "map" else microbatch


class Estimate:
    """What an executable costs on a machine, with some number of lanes and of trials."""

    def __init__(
        self,
        executable: Executable,
        workload: Workload,
        machine: Machine,
        costs: Costs,
        strategy: str,
    ):
        e, shape = executable, workload.image_shape
        self.executable, self.machine, self.costs, self.strategy = e, machine, costs, strategy
        self.size = size = model.sizes(e.layers, shape)
        self.iterations = math.ceil(workload.train_examples / e.microbatch)
        self.rows = self.iterations * e.microbatch  # an epoch's, the last microbatch filled up
        share = functools.partial(_share, machine.shares)
        self._beside = strategy != "map"
        self.evaluation_batch = evaluation_batch(e.microbatch, strategy)
        self.compile_s = costs.seconds(
            model.compiling(e.layers, shape, e.optimizers, e.accumulates)
        )
        # Of one lane. In turn, an update follows a batch and is of one family; side by side, all families
        # are computed after each microbatch.
        training = model.iteration(
            e.layers, shape, share(e.microbatch), e.accumulates, e.augment, self._beside
        )
        training += model.exchange(size.parameters, machine.shares)
        update = model.update(size.parameters, e.optimizers)
        self._iteration = training + update
        self._epoch = (self._iteration if self._beside else training) * self.iterations
        self._epoch += model.evaluation(
            e.layers, shape, share(workload.evaluated), share(self.evaluation_batch), self._beside
        )
        moments = 2 * len(e.optimizers) + (1 if e.accumulates else 0)
        self.state_bytes = FLOAT_BYTES * (size.parameters * (2 + moments) + workload.train_examples)
        active = size.outputs * share(e.microbatch) * COPIES_OF_ACTIVATIONS + size.parameters
        self.active_bytes = FLOAT_BYTES * active

    def lanes(self, memory_bytes: float) -> int:
        """How many lanes `memory_bytes` a device hold, on all devices; one on each at least.

        States lie beside each other; activations only of the lanes that run at once.
        """
        if self._beside:
            here = memory_bytes / (self.state_bytes + self.active_bytes)
        else:
            here = (memory_bytes - self.active_bytes) / self.state_bytes
        return max(1, int(here + 1e-9)) * self.machine.devices

    def wanted_lanes(self, trials: int) -> int:
        """K: a lane for each trial, as far as worth it and in memory, in equal numbers on all devices."""
        devices = self.machine.devices
        wanted = math.ceil(min(trials, MOST_LANES) / devices) * devices
        if not self._beside:
            wanted = min(wanted, max(1, int(STATES_BYTES / devices / self.state_bytes)) * devices)
        return min(wanted, self.lanes(MEMORY_SHARE * self.machine.memory_bytes))

    def bytes_of(self, lanes: int) -> float:
        """What `lanes` take of each device's memory: the inverse of `lanes`."""
        here = lanes / self.machine.devices
        return here * self.state_bytes + (here if self._beside else 1) * self.active_bytes

    def excess(self) -> float:
        """By which factor a single lane is larger than the memory that it may fill."""
        return self.bytes_of(self.machine.devices) / (MEMORY_SHARE * self.machine.memory_bytes)

    def dispatch_s(self, lanes: int) -> float:
        """Of one iteration of all lanes, with an update."""
        here = lanes / self.machine.devices
        return self.costs.seconds(model.of_lanes(self._iteration, here, self._beside))

    def passes(self, work: Tally, lanes: int) -> float:
        """Epochs of single lanes that are computed to train `work`."""
        # Side by side, an epoch costs the same however many lanes are idle.
        return max(work.longest * lanes, work.epochs) if self._beside else work.epochs

    def run_s(self, work: Tally, lanes: int) -> float:
        """Seconds of training and evaluating `work`, its trials spread evenly over the devices."""
        if not work.trials:
            return 0.0
        if self._beside:
            epoch = model.of_lanes(self._epoch, lanes / self.machine.devices, self._beside)
            return self.passes(work, lanes) / lanes * self.costs.seconds(epoch)
        updates_s = work.touched * FLOAT_BYTES * self.size.parameters / self.costs.bytes_per_s
        total = work.epochs * self.costs.seconds(self._epoch) + updates_s
        # That of the devices with the most trials; the others wait for them.
        return total * math.ceil(work.trials / self.machine.devices) / work.trials


def _share(shares: int, examples: int) -> int:
    """What falls to one of the devices that share some examples."""
    return -(-examples // shares)


def probe_steps(iteration_s: float, most: int) -> int:
    """Iterations of a dispatch that is timed: a power of 2 of about `PROBE_S`, and no more than `most`."""
    return min(most, 1 << max(0, round(math.log2(PROBE_S / iteration_s))))
