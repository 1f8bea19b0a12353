"""Curves of the hardware benchmark, over lanes and over batch sizes, and where on them the chip is full."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.points import Measured, Point
from bench.suite import Benchmark, Entry

NEAR = 0.95  # of the best throughput: from here on the chip is full


@dataclass(frozen=True)
class Curve:
    """Points of one entry along which the lanes or the batch size are doubled.

    Attributes:
        over: "lanes" or "batch".
        fixed: the other.
        points: from the least.
        ended: by "memory", "time", or "limit", the largest that the benchmark was to try; None while it may
            still go on.
        next: the first size that is not measured; None where the limit is reached.
    """

    entry: str
    over: str
    fixed: int
    points: tuple[Point, ...]
    ended: str | None
    next: int | None = None

    @property
    def sizes(self) -> list[int]:
        return [getattr(point, self.over) for point in self.points]

    def rates(self, kind: str) -> list[float]:
        """Examples a second of each point."""
        return [point.examples_per_s(kind) for point in self.points]

    def full(self, kind: str) -> Point | None:
        """Where the chip is full: the least whose throughput is within 5 % of the best seen."""
        if not self.points:
            return None
        return self.points[filled(self.rates(kind))]


def curves(entry: Entry, benchmark: Benchmark, devices: int, measured: Measured) -> Iterator[Curve]:
    """The curves of an entry as far as they are measured: over lanes at two batch sizes, then over batch
    sizes with one lane, and with as many as fill the chip.

    Args:
        entry: of the suite.
        benchmark: what is measured of it.
        devices: how many are in use.
        measured: so far.
    """
    lanes = lane_counts(devices, benchmark.lanes)
    first, second = (_curve(entry, "lanes", batch, lanes, measured) for batch in entry.batches)
    yield first
    yield second
    batches = doubled(entry.batches[0], benchmark.batch)
    yield _curve(entry, "batch", 1, batches, measured)
    full = first.full("train")
    if full and full.lanes > 1:
        yield _curve(entry, "batch", full.lanes, batches, measured)


def _curve(entry: Entry, over: str, fixed: int, sizes: Sequence[int], measured: Measured) -> Curve:
    points: list[Point] = []
    for size in sizes:
        batch, lanes = (fixed, size) if over == "lanes" else (size, fixed)
        match measured.answer((entry.name, batch, lanes), over):
            case Point() as point:
                points.append(point)
            case None:
                return Curve(entry.name, over, fixed, tuple(points), None, size)
            case skip:
                return Curve(entry.name, over, fixed, tuple(points), skip.why, size)
    return Curve(entry.name, over, fixed, tuple(points), "limit")


def lane_counts(devices: int, most: int) -> list[int]:
    """1, 2, 4, … up to a lane on every device, and that doubled.

    >>> lane_counts(6, 30)
    [1, 2, 4, 6, 12, 24]
    """
    few = [count for count in doubled(1, devices) if count < devices]
    return [count for count in (*few, *doubled(devices, most)) if count <= most]


def doubled(first: int, most: int) -> list[int]:
    """`first` and its doubles, up to `most`.

    >>> doubled(3, 13)
    [3, 6, 12]
    """
    sizes = []
    while first <= most:
        sizes.append(first)
        first *= 2
    return sizes


def filled(rates: Sequence[float]) -> int:
    """The place of the first rate that is within 5 % of the best."""
    best = max(rates)
    return next(place for place, rate in enumerate(rates) if rate >= NEAR * best)


@dataclass(frozen=True)
class Ruling:
    """Whether "the ideal batch size is the largest that the hardware supports" holds on a curve.

    Attributes:
        holds: None where that was not seen: memory did not end the curve, and its end is not slower either.
        words: what was seen.
    """

    holds: bool | None
    words: str


def ruling(curve: Curve, kind: str) -> Ruling:
    """Checks the rule on a curve over batch sizes.

    It holds if the largest batch that memory allows is more than 5 % faster than all smaller ones. It does
    not if a smaller one is as fast, or faster.
    """
    if len(curve.points) < 2:
        return Ruling(None, "unknown: fewer than two batch sizes were measured")
    rates, sizes, largest = curve.rates(kind), curve.sizes, curve.sizes[-1]
    full, best = filled(rates), rates.index(max(rates))
    whole = curve.ended == "memory"
    end = (
        f"{largest:,}, the largest in memory"
        if whole
        else f"{largest:,}, where {_END[curve.ended]}"
    )
    if rates[-1] < NEAR * rates[best]:
        slower = 100 * (1 - rates[-1] / rates[best])
        return Ruling(False, f"no: {sizes[best]:,} is the fastest; {slower:.0f} % less at {end}")
    if full < len(rates) - 1:
        word = "no" if whole else "not so far"
        return Ruling(False if whole else None, f"{word}: {sizes[full]:,} is as fast as {end}")
    return Ruling(True if whole else None, f"{'yes' if whole else 'so far'}: fastest at {end}")


_END = {"time": "time ended", "limit": "the benchmark ended", None: "it has come to"}
