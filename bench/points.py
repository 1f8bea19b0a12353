"""What the hardware benchmark has measured: an entry of the suite at a batch size and a number of lanes.

Pure arithmetic, without JAX.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.costs import training_flops
from bench.errors import brief
from bench.journal import RecordError, read_journal
from bench.timing import Spread

KINDS = ("train", "evaluate")
Place = tuple[str, int, int]  # an entry's name, a batch size, a number of lanes


@dataclass(frozen=True)
class Point:
    """One entry at one batch size and number of lanes.

    Attributes:
        batch: examples that a lane takes in a step.
        lanes: trials.
        devices: how many they were spread over.
        strategy: "map" (lanes in turn on each device) or "vmap" (side by side).
        steps: in each dispatch, of training and of evaluation.
        parameters: of a trial.
        flops: of one example's forward pass.
        compile_s: seconds of tracing and compiling.
        peak_bytes: of the training function on one device, as XLA plans it; None where it does not say.
        wall_s: all that the point took.
        seconds: kind → of each dispatch after the warm-up.
        joules: kind → of all of those; None where nobody counts.
    """

    entry: str
    batch: int
    lanes: int
    devices: int
    strategy: str
    steps: int
    parameters: int
    flops: int
    compile_s: float
    peak_bytes: int | None
    wall_s: float
    seconds: Mapping[str, Sequence[float]]
    joules: Mapping[str, float | None]

    @property
    def place(self) -> Place:
        return self.entry, self.batch, self.lanes

    def ms(self, kind: str) -> Spread:
        """Milliseconds in which every lane takes one batch, over dispatches."""
        return Spread.of(1000 * np.array(self.seconds[kind]) / self.steps)

    def examples_per_s(self, kind: str) -> float:
        """Over all lanes, of the median dispatch."""
        return self.lanes * self.batch * self.steps / float(np.median(self.seconds[kind]))

    def gflops_per_s(self, kind: str) -> float:
        """Of convolutions and dense layers; a training step counts three times its forward pass."""
        flops = training_flops(self.flops) if kind == "train" else self.flops
        return self.examples_per_s(kind) * flops / 1e9

    def joules_per_example(self, kind: str) -> float | None:
        joules, dispatches = self.joules[kind], len(self.seconds[kind])
        if joules is None:
            return None
        return joules / (dispatches * self.steps * self.lanes * self.batch)


@dataclass(frozen=True)
class Skip:
    """A point that was not measured, which ends its curve.

    Attributes:
        over: what was being doubled, "lanes" or "batch".
        why: "memory", of which `needed` bytes on a device are more than `available`; or "time".
        needed: None where the device gave no number.
        wall_s: what it took to find that out.
    """

    entry: str
    batch: int
    lanes: int
    over: str
    why: str
    needed: int | None = None
    available: int | None = None
    wall_s: float = 0.0

    @property
    def place(self) -> Place:
        return self.entry, self.batch, self.lanes


@dataclass
class Measured:
    """The journal of a hardware benchmark, read.

    Attributes:
        starts: what was written when each process began: hardware, software, settings.
        points: by place, in the order in which they were measured.
        skips: in theirs.
        finished: the last event; None while it is not over.
    """

    starts: list[dict[str, Any]] = field(default_factory=list)
    points: dict[Place, Point] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)
    finished: dict[str, Any] | None = None

    @classmethod
    def read(cls, workdir: Path) -> "Measured":
        """What is in a run directory.

        Raises:
            RecordError: see `read_journal`; or a line that no benchmark writes.
        """
        measured, line, path = cls(), 1, workdir / "journal.jsonl"
        try:
            for event in read_journal(path):
                measured.add(event)
                line += 1
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise RecordError(
                f"{path}, line {line}, is not of a benchmark ({type(error).__name__}: {brief(error)}); use "
                "another run directory"
            ) from error
        return measured

    def add(self, event: Mapping[str, Any]) -> None:
        """Takes in one event of the journal."""
        fields = {name: value for name, value in event.items() if name != "event"}
        match event["event"]:
            case "benchmark":
                self.starts.append(fields)
                self.finished = None
            case "point":
                point = Point(**fields)
                self.points[point.place] = point
            case "skip":
                self.skips.append(Skip(**fields))
            case "finish":
                self.finished = fields

    def answer(self, place: Place, over: str) -> Point | Skip | None:
        """What is known of a place; None where it is still to be measured.

        Where time ended one curve, another through the same place may have some left; the first stays ended.
        """
        for skip in self.skips:
            if skip.place == place and (skip.why == "memory" or skip.over == over):
                return skip
        return self.points.get(place)

    @property
    def entries(self) -> list[str]:
        """Those of which a point is known, in their order."""
        return list(dict.fromkeys(point.entry for point in self.points.values()))

    def wall_s(self, *entries: str) -> float:
        """What these took, or all of them, over all processes, without their starts."""
        every: list[Point | Skip] = [*self.points.values(), *self.skips]
        return sum(found.wall_s for found in every if not entries or found.entry in entries)

    def of_entry(self, entry: str) -> list[Point]:
        """Its points, by batch size and then lanes."""
        points = (point for point in self.points.values() if point.entry == entry)
        return sorted(points, key=lambda point: point.place)


def is_benchmark(workdir: Path) -> bool:
    """Whether a run directory is a hardware benchmark's, not a sweep's.

    Raises:
        RecordError: see `read_journal`.
    """
    first = next(read_journal(workdir / "journal.jsonl"), None)
    return first is not None and first["event"] == "benchmark"
