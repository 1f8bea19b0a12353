"""Cells into programs, at the least expected seconds: compiling on one side, padding on the other.

Each cell is a row of numbers: its widths and depths, its batch size, and a 1 for every name (of an
activation, of its optimizer) that it needs. A program of some cells is then the maximum of their rows,
column by column. Cells are parted as by a decision tree, at one column at a time, while that saves seconds.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import estimate as est
from bench import padding
from bench.cells import Cell, groups, outline, widest
from bench.costs import Machine, Workload, sizes
from bench.estimate import Estimate, Executable, Tally
from bench.layers import Blocks, Layer, Layers

THRESHOLDS = 8  # at which a column of many values is tried at a time
MOST_PRICES = 5_000  # that a search asks for, so that planning takes seconds at most
TOO_LARGE = 1e15  # seconds, of a program of several cells that memory does not hold


@dataclass(frozen=True, eq=False)
class Part:
    """Cells of a group that share a program, by their places in it, and what it is expected to cost."""

    group: "Group"
    members: np.ndarray
    estimate: Estimate

    @property
    def cells(self) -> list[Cell]:
        return [self.group.cells[member] for member in self.members]

    @property
    def work(self) -> Tally:
        return self.group.work(self.members)

    @property
    def padded(self) -> bool:
        """Whether a lane may be narrower or shallower than the program."""
        # Every width and every block adds to the numbers that layers put out.
        outputs, wide = self.group.outputs[self.members], self.estimate.size.outputs
        if any(cell.bounds for cell in self.cells):  # whatever lies between may come here
            outputs, wide = self.group.outputs, self.group.whole.estimate.size.outputs
        return bool(outputs.min() < wide)


class Group:
    """Cells that could share a program, as rows of numbers.

    Args:
        cells: of one skeleton.
        workload: sizes of the data.
        estimate: of an executable.
    """

    def __init__(
        self, cells: Sequence[Cell], workload: Workload, estimate: Callable[[Executable], Estimate]
    ):
        self.cells, self._estimate = cells, estimate
        # Any architectures of all depths will do: only their structure is used.
        deepest = widest({outline(cell.layers): cell.layers for cell in cells}.values())
        rows = [_row(cell, deepest) for cell in cells]
        columns = dict.fromkeys(itertools.chain.from_iterable(rows))
        self._rows = np.array([[row.get(column, 0) for column in columns] for row in rows])
        self._of_batch = [name == "batch size" for name, _ in columns]
        self._bounded = np.array([cell.batch_size if cell.bounds else 0 for cell in cells])
        tallies = [est.tally([cell], workload) for cell in cells]
        self._sums = np.array([(t.trials, t.epochs, t.touched) for t in tallies])
        self._longest = np.array([t.longest for t in tallies])
        self._estimates: dict[bytes, Estimate] = {}
        self.outputs = np.array([sizes(c.layers, workload.image_shape).outputs for c in cells])
        self.whole = self.part(np.arange(len(cells)))

    def part(self, members: np.ndarray) -> Part:
        """These cells as a program."""
        rows = self._rows[members]
        key = rows.max(0).tobytes()
        if key not in self._estimates:
            # The cells that are largest in some column need together what all of them need.
            largest = np.unique(members[rows.argmax(0)])
            executable = est.executable([self.cells[member] for member in largest])
            self._estimates[key] = self._estimate(executable)
        return Part(self, members, self._estimates[key])

    def work(self, members: np.ndarray) -> Tally:
        trials, epochs, touched = self._sums[members].sum(0).tolist()
        return Tally(int(trials), int(epochs), int(self._longest[members].max()), touched)

    def splits(self, members: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every way to part these cells at one column."""
        # Trials not known yet may ask for any batch size between those of the bounds. Only the common
        # divisor of all of them, which this program has together, surely divides it.
        together = len(set(self._bounded[members].tolist()) - {0}) > 1
        seen: set[bytes] = set()
        for column, of_batch in zip(self._rows[members].T, self._of_batch, strict=True):
            if of_batch and together:
                continue
            values = np.unique(column)
            for threshold in values[_ranks(len(values))]:
                low = column < threshold
                cut = (low if low[0] else ~low).tobytes()
                if cut not in seen:
                    seen.add(cut)
                    yield members[low], members[~low]


def _row(cell: Cell, deepest: Layers) -> dict[tuple[Any, Any], int]:
    """A cell as numbers, of which a program needs the largest; what it does not need may be missing."""
    row: dict[tuple[Any, Any], int] = {
        ("batch size", None): cell.batch_size,
        ("batch size", cell.batch_size): 1,
        ("augment", None): int(cell.augment),
        ("optimizer", cell.family): 1,
    }
    for place, (_, value) in enumerate(open_values(cell.layers, deepest)):
        if isinstance(value, str):
            row[place, value] = 1
        else:
            row[place, None] = math.ceil(value)  # of a rate: whether there is any
    return row


def _ranks(values: int) -> list[int]:
    """At which of so many values to cut: between any two, or at `THRESHOLDS` places evenly spread."""
    count = min(values - 1, THRESHOLDS)
    return sorted({round(values * (place + 1) / (count + 1)) for place in range(count)})


def open_values(layers: Layers, wide: Layers) -> Iterator[tuple[type[Layer], Any]]:
    """The layers' values of what is data to a program of `wide`, and whose they are; of `Blocks` how many.

    All architectures that `wide` admits have as many.
    """
    for layer, over in zip(layers, wide, strict=True):
        if isinstance(layer, Blocks) and isinstance(over, Blocks):
            yield Blocks, len(layer.blocks)
            # As in `padding`: what a trial passes by is padded to its last block.
            for number, over_block in enumerate(over.blocks):
                yield from open_values(layer.blocks[min(number, len(layer.blocks) - 1)], over_block)
        elif type(layer) in padding.OPEN:
            yield type(layer), getattr(layer, padding.OPEN[type(layer)][0])
        for part, over_part in zip(layer.parts(), over.parts(), strict=True):
            yield from open_values(part, over_part)


class Partition:
    """Parts cells into programs.

    Args:
        workload: sizes of the data.
        machine: where the programs run.
        lanes: K of every program, 0 for as many as fit.
        estimate: of an executable.
    """

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        lanes: int,
        estimate: Callable[[Executable], Estimate],
    ):
        self.workload, self.machine = workload, machine
        self._lanes, self._estimate = lanes, estimate

    def parts(self, cells: Sequence[Cell], mode: str) -> list[tuple[Part, int]]:
        """The programs, and K of each; for `mode` see `plan`."""
        budget = MOST_PRICES / max(1, len(cells))
        # What is too large for memory by itself stays so, by our estimate.
        found = groups(cells, lambda cell: self._estimate(est.executable([cell])).excess() > 1)
        every = [self._ways(group, mode, budget * len(group)) for group in found]
        # The ways are the same for each group, so that together they are ways to part all cells.
        ways = [list(itertools.chain.from_iterable(parts)) for parts in zip(*every, strict=True)]
        best = min(ways, key=self._seconds, default=[])
        return [(part, self._lanes_of(part)) for part in best]

    def _ways(self, cells: Sequence[Cell], mode: str, budget: float) -> list[list[Part]]:
        """Ways to part a group, the one that looks cheapest first."""
        group = Group(cells, self.workload, self._estimate)
        separate = [group.part(np.array([place])) for place in range(len(cells))]
        if mode == "separate":
            return [separate]
        fewest = _split(group, lambda _: 1, budget)
        if mode == "fewest":
            return [fewest]
        if any(cell.bounds for cell in cells):
            separate = fewest  # what shares nothing has no room for what lies between
        ways = [_split(group, self._price, budget), separate, fewest]
        return [min(ways, key=lambda parts: sum(map(self._price, parts))), *ways[1:]]

    def _price(self, part: Part) -> float:
        """Seconds of compiling and running it."""
        run_s = part.estimate.run_s(part.work, self._lanes_of(part))
        return part.estimate.compile_s / self.machine.compilers + run_s

    def _seconds(self, parts: list[Part]) -> float:
        """Expected seconds of compiling and running all, bounds included."""
        total = compile_s([part.estimate.compile_s for part in parts], self.machine)
        return total + sum(part.estimate.run_s(part.work, self._lanes_of(part)) for part in parts)

    def _lanes_of(self, part: Part) -> int:
        """K of a program, as if it had the memory alone: who does not fit beside others waits for it."""
        devices = self.machine.devices
        asked = -(-self._lanes // devices) * devices
        return asked or part.estimate.wanted_lanes(part.work.trials)


def _split(group: Group, price: Callable[[Part], float], budget: float) -> list[Part]:
    """Splits the dearest part where it saves most, as long as that saves and for about `budget` prices."""

    def priced(part: Part) -> float:
        excess = part.estimate.excess() if len(part.members) > 1 else 0
        return price(part) + (TOO_LARGE * excess if excess > 1 else 0)

    heap, order = [(-priced(group.whole), 0, group.whole)], itertools.count(1)
    leaves: dict[Estimate, list[np.ndarray]] = {}
    asked = 0
    while heap:
        negative, _, part = heapq.heappop(heap)
        least, best = -negative * (1 - 1e-9), None
        for pair in group.splits(part.members) if asked < budget else ():
            halves = [group.part(members) for members in pair]
            prices = list(map(priced, halves))
            asked += 2
            if sum(prices) < least:
                least, best = sum(prices), zip(prices, halves, strict=True)
        for cost, half in best or ():
            heapq.heappush(heap, (-cost, next(order), half))
        if best is None:  # parts may have come to compile the same: they are one
            leaves.setdefault(part.estimate, []).append(part.members)
    return [group.part(np.sort(np.concatenate(members))) for members in leaves.values()]


def compile_s(programs: Sequence[float], machine: Machine) -> float:
    """Seconds until all programs are compiled, some at a time."""
    return max(max(programs, default=0.0), sum(programs) / machine.compilers)
