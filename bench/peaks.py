"""What the devices in use reach at best, measured in this process: FLOP/s of a matrix product, B/s of memory.

All devices work at once, each on arrays of its own, for they share what feeds them. A dispatch repeats its
work so often that handing it over costs nothing beside it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding

from bench import mesh
from bench import precision as precisions
from bench.roofline import Peaks
from bench.timing import Clock, Spread, interleaved

DISPATCH_S = 0.02  # long beside what a dispatch costs by itself
ROUNDS = 4
BUDGET_S = 0.6  # of the rounds; none begins that would end later
MOST_REPEATS = 1 << 20  # a clock that stands still ends here


@dataclass(frozen=True)
class Sizes:
    """What is multiplied and rewritten.

    Attributes:
        matrices: rows of the square matrices, the quickest of which counts.
        array_bytes: on each device, much more than its caches hold.
    """

    matrices: tuple[int, ...]
    array_bytes: int

    def within(self, free: int, itemsize: int) -> "Sizes":
        """Those that take no more than half of `free` bytes; the smallest matrices always stay."""
        fitting = [rows for rows in self.matrices if 3 * itemsize * rows**2 <= free // 2]
        return Sizes(tuple(fitting) or self.matrices[:1], min(self.array_bytes, free // 2))


# A core's share of the last cache is a few MiB, a large accelerator's cache 50 MiB. There, a turn of a loop
# has a price of its own, which small arrays would not hide.
CPU = Sizes((512, 1024), 64 << 20)
ACCELERATOR = Sizes((2048, 4096, 8192), 2 << 30)


@dataclass
class Probe:
    """A compiled loop over state that stays on the devices.

    Attributes:
        run: (state, repeats) → state, which takes the old one's place.
        state: what it goes on with.
        amount: FLOPs or bytes of one repeat, all devices together.
        repeats: of a dispatch.
    """

    run: Callable[[Any, np.ndarray], Any]
    state: Any
    amount: float
    repeats: int = 1

    def __call__(self) -> Any:
        self.state = self.run(self.state, np.asarray(self.repeats, np.int32))
        return self.state

    def fill(self, clock: Clock) -> None:
        """Doubles `repeats` until a dispatch takes `DISPATCH_S`."""
        jax.block_until_ready(self())
        while self.repeats < MOST_REPEATS:
            start = clock()
            jax.block_until_ready(self())
            if clock() - start >= DISPATCH_S:
                return
            self.repeats *= 2


def measure(
    devices: Sequence[jax.Device],
    precision: str,
    free: int,
    sizes: Sizes | None = None,
    clock: Clock = time.perf_counter,
) -> Peaks:
    """The peaks of these devices together.

    Args:
        devices: of one kind.
        precision: a name of `precision.PRECISIONS`; matrix products as JAX is set to take them.
        free: bytes that may be taken on each device.
        sizes: of the arrays; None takes what suits the platform.
        clock: seconds.
    """
    start, over, dtype = (
        clock(),
        mesh.lane_mesh(devices),
        jnp.dtype(precisions.of(precision).computed),
    )
    sizes = sizes or (CPU if devices[0].platform == "cpu" else ACCELERATOR)
    sizes = sizes.within(free, dtype.itemsize)
    products: dict[str, Probe] = {}
    for rows in sizes.matrices:
        products[f"{rows}"] = product = multiplying(over, rows, dtype)
        product.fill(clock)
        if product.repeats == 1:  # larger ones would take too long
            break
    memory = rewriting(over, sizes.array_bytes // dtype.itemsize, dtype)
    memory.fill(clock)
    probes = {**products, "memory": memory}
    samples = interleaved(probes, ROUNDS, BUDGET_S, clock, jax.block_until_ready)
    if not len(samples["memory"]):  # the warm-up took it all
        samples = interleaved(probes, 1, clock=clock, block=jax.block_until_ready)
    rates = {name: p.amount * p.repeats / samples[name] for name, p in probes.items()}
    best = max(products, key=lambda name: rates[name].max())
    return Peaks(
        flops_per_s=float(rates[best].max()),
        bytes_per_s=float(rates["memory"].max()),
        precision=precision,
        matrix=int(best),
        array_bytes=sizes.array_bytes,
        n=len(rates[best]),
        flops_spread=Spread.of(rates[best]),
        bytes_spread=Spread.of(rates["memory"]),
        seconds=clock() - start,
    )


def multiplying(over: Mesh, rows: int, dtype: np.dtype) -> Probe:
    """Square matrices multiplied by an orthogonal one, over and over.

    Each product is of the one before it, so none can be left out, and numbers keep their size.
    """

    def run(state: tuple, repeats: jax.Array) -> tuple:
        matrix, orthogonal = state
        return lax.fori_loop(0, repeats, lambda _, m: m @ orthogonal, matrix), orthogonal

    generator = np.random.Generator(np.random.PCG64(0))
    matrix = generator.standard_normal((rows, rows), np.float32)
    state = _on_each(over, matrix, dtype), _on_each(over, _orthogonal(rows, generator), dtype)
    return Probe(_compiled(run, over, state), state, 2.0 * rows**3 * over.size)


def rewriting(over: Mesh, numbers: int, dtype: np.dtype) -> Probe:
    """An array to which one is added, in place, over and over: each number is read once and written once."""

    def run(state: tuple, repeats: jax.Array) -> tuple:
        array, one = state
        return lax.fori_loop(0, repeats, lambda _, a: a + one, array), one

    array = jnp.zeros((over.size, numbers), dtype, device=NamedSharding(over, mesh.LANES))
    state = array, _on_each(over, np.ones(1), dtype)  # were it a constant, XLA could add it up
    return Probe(_compiled(run, over, state), state, 2.0 * numbers * dtype.itemsize * over.size)


def _orthogonal(rows: int, generator: np.random.Generator) -> np.ndarray:
    """(rows, rows): two reflections, one after the other. All its powers differ."""
    u, v = generator.standard_normal((2, rows), np.float32)
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    reflected = np.eye(rows, dtype=np.float32) - np.outer(2 * u, u)
    return reflected - np.outer(reflected @ v, 2 * v)


def _on_each(over: Mesh, array: np.ndarray, dtype: np.dtype) -> jax.Array:
    """A copy for each device, with a leading axis over them."""
    copies = np.tile(array.astype(dtype), (over.size, *(1,) * array.ndim))
    return jax.device_put(copies, NamedSharding(over, mesh.LANES))


def _compiled(run: Callable, over: Mesh, state: Any) -> Callable:
    arguments, specs = (state, np.int32(0)), (mesh.LANES, mesh.WHOLE)
    out = (mesh.LANES, mesh.LANES)
    return mesh.compiled(run, "peak", over, arguments, specs, out, donate=True)
