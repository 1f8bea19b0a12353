"""Which lowerings are the fastest here: candidates timed on the devices, as a program would run them.

    tuner = Tuner(mesh, "float32", memory)
    plan = tuner.tuned(plan, LaneProgram(plan, …).sites, budget_s=5)     # plan.lowerings say what won

Whole blocks are timed first, from the likely best set to the worst, until one is far behind. Where XLA comes
near our kernels, or there are none, the forward pass and each gradient of a convolution are timed by
themselves, and the best of each are put together.
"""

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding

from bench import host, mesh
from bench.ops import ConvSite, Site, lowerings, native, pieces
from bench.plan import ProgramPlan
from bench.timing import interleaved
from bench.tuned import Memory

ROUNDS = 5
CALLS, COMPILE_S = 12, 1.0  # of a site's work at least, to time it; seconds before that
CALL_S = 0.005  # about as long as a timed call is to take, by an assumed rate:
ASSUMED_FLOPS_PER_S = 2e10
CLEAR = 1.5  # our kernels, this many times faster than all of XLA's sets, need no finer search
NEAR = 2.0  # what takes so many times as long as the quickest is timed once only
# Sets from the likely best of a CPU to the worst. Where one of a pair takes so many times as long as the
# best, the next pair, which does more of what makes it slow and might take minutes, is not timed.
SETS = (("native", "im2col"), ("mixed", "direct"))
FAR = 4.0
MOST_EXAMPLES = {"cpu": 128}  # of a batch, that are timed: more take longer in proportion

Times = dict[str, float]  # lowering → seconds of one call


class Tuner:
    """Chooses lowerings.

    Args:
        devices: the mesh that a program runs on.
        dtype: of the arithmetic.
        memory: what was measured before, here or by another process.
        name: "auto" chooses by time; another of `lowerings.SETS` is taken as it is.
        again: measures even what is remembered.
        free_bytes: that timing may take on each device.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        devices: Mesh,
        dtype: Any,
        memory: Memory,
        name: str = "auto",
        again: bool = False,
        free_bytes: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.mesh, self.dtype, self.memory = devices, jnp.dtype(dtype), memory
        self.name, self.again, self.free_bytes, self.clock = name, again, free_bytes, clock

    def tuned(
        self,
        plan: ProgramPlan,
        sites: Iterable[Site],
        budget_s: float,
    ) -> ProgramPlan:
        """The plan with a lowering for each site; those that it has are kept.

        Args:
            plan: of the program.
            sites: where it needs an operation.
            budget_s: no candidates are compiled after so many seconds; what was not timed by then is taken
                from memory, or guessed.
        """
        start, chosen = self.clock(), {}
        batch = -(-plan.microbatch // self.mesh.shape[mesh.BATCH_AXIS])
        batch = min(batch, MOST_EXAMPLES.get(self.mesh.devices.flat[0].platform, batch))
        bench = Bench(self.mesh, plan.strategy, plan.lanes, self.clock)
        # The most work first: should time run out, it is the rest that is guessed.
        for site in sorted(set(sites), key=lambda site: -pieces.flops(site, batch)):
            guess = lowerings.of_set(site, self.name, self.dtype)
            chosen[str(site)] = plan.lowerings.get(str(site), guess)
            if self.name != "auto" or str(site) in plan.lowerings:
                continue
            key = self._key(site, plan, batch)
            times = {} if self.again else self.memory.numbers(key)
            left_s = budget_s - (self.clock() - start)
            if not times and left_s > 0 and self._affordable(site, batch, bench, left_s):
                times = self._timed(site, batch, bench)
                self.memory.keep(key, times)
            chosen[str(site)] = min(times, key=times.__getitem__) if times else guess
        return replace(plan, lowerings=chosen)

    def _affordable(self, site: Site, batch: int, bench: "Bench", left_s: float) -> bool:
        here = bench.lanes / self.mesh.shape["lanes"]
        size = here * pieces.numbers(site, batch) * self.dtype.itemsize
        run_s = here * pieces.flops(site, batch) / ASSUMED_FLOPS_PER_S * CALLS
        return size <= self.free_bytes and COMPILE_S + run_s <= left_s

    def _key(self, site: Site, plan: ProgramPlan, batch: int) -> str:
        """What a time depends on beside the chip and the versions."""
        lanes = "in turn" if plan.strategy == "map" else f"{plan.strategy} of {plan.lanes}"
        return f"{site}, batch {batch}, {self.dtype}, {lanes}"

    def _timed(self, site: Site, batch: int, bench: "Bench") -> Times:
        arrays = pieces.operands(site, batch, self.dtype)
        works = pieces.flops(site, batch)

        def whole(names: Iterable[str]) -> Times:
            candidates = {name: pieces.whole(site, name) for name in dict.fromkeys(names)}
            return bench.times(candidates, arrays, works)

        if not isinstance(site, ConvSite):
            able = native.available() and self.dtype in (np.float32, np.float64)
            return whole(n for n in pieces.candidates(site) if n != "native" or able)
        times: Times = {}
        for pair in SETS:
            names = (lowerings.of_set(site, name, self.dtype) for name in pair)
            times |= whole(name for name in names if name not in times)
            if max(times.values(), default=0.0) > FAR * min(times.values(), default=0.0):
                break
        others = [seconds for name, seconds in times.items() if name != "native"]
        if min(others, default=np.inf) < CLEAR * times.get("native", np.inf):
            finer = self._composed(site, batch, bench)
            if finer not in times:
                rivals = (finer, min(times, key=times.__getitem__))
                times |= whole(rivals)
        return times

    def _composed(self, site: ConvSite, batch: int, bench: "Bench") -> str:
        """The lowering made of the fastest of each part."""
        plain = replace(site, bias=False, relu=False, pool=None)
        images, kernel, _, gradient = pieces.operands(plain, batch, self.dtype)
        parts, works = {}, pieces.flops(plain, batch) // 3
        for part, candidates in pieces.directions(plain).items():
            times = bench.times(candidates, (images, kernel, gradient), works)
            parts[part] = min(times, key=times.__getitem__)
        parts.setdefault("input gradient", "direct")  # nobody wants it
        pool = "none"
        if site.pool:
            (pool_images, pool_gradient) = pieces.operands(site.pool, batch, self.dtype)
            rivals = {n: pieces.whole(site.pool, n) for n in lowerings.pools(site.pool)}
            works = pieces.flops(site.pool, batch)
            times = bench.times(rivals, (pool_images, pool_gradient), works)
            pool = min(times, key=times.__getitem__)
        return "/".join([*parts.values(), pool])


class Bench:
    """Times functions of one lane as a program runs them: on all devices at once, lanes in turn or beside.

    Args:
        devices: the mesh.
        strategy: of the program.
        lanes: K of the program.
        clock: seconds, monotonic.
    """

    def __init__(self, devices: Mesh, strategy: str, lanes: int, clock: Callable[[], float]):
        self.mesh, self.strategy, self.clock = devices, strategy, clock
        count = devices.shape["lanes"]
        # In turn, one lane is like another; beside each other all of them are needed.
        self.lanes = count if strategy == "map" else max(count, lanes // count * count)

    def times(
        self, candidates: Mapping[str, pieces.Work], arrays: tuple[np.ndarray, ...], flops: int
    ) -> Times:
        """Seconds of one call of each candidate for all lanes; those that cannot be compiled are left out.

        Args:
            candidates: functions of a lane's arrays.
            arrays: of one lane.
            flops: of one call and lane, roughly.
        """
        work = flops * self.lanes / self.mesh.shape["lanes"]
        calls = int(min(64, max(1, CALL_S * ASSUMED_FLOPS_PER_S / work)))
        sharding = NamedSharding(self.mesh, mesh.LANES)
        stacked = [np.broadcast_to(a, (self.lanes, 2, *a.shape)) for a in arrays]
        placed = jax.device_put(tuple(stacked), sharding)

        def compiled(name: str) -> Callable | None:
            looped = self._looped(candidates[name], calls)
            try:
                return mesh.compiled(
                    looped, "tune", self.mesh, (placed,), (mesh.LANES,), mesh.LANES, False
                )
            except jax.errors.JaxRuntimeError:
                return None

        with ThreadPoolExecutor(host.cores()) as threads:
            found = zip(candidates, threads.map(compiled, candidates), strict=True)
            ready = {n: functools.partial(call, placed) for n, call in found if call is not None}
        times = self._shortest(ready, 1)
        near = NEAR * min(times.values(), default=0.0)
        times |= self._shortest({n: call for n, call in ready.items() if times[n] <= near}, ROUNDS)
        return {name: seconds / calls for name, seconds in times.items()}

    def _shortest(self, ready: Mapping[str, Callable[[], Any]], rounds: int) -> Times:
        # What else runs here can only lengthen a call: the shortest is the best known.
        samples = interleaved(ready, rounds, clock=self.clock, block=jax.block_until_ready)
        return {name: float(seconds.min()) for name, seconds in samples.items()}

    def _looped(self, work: pieces.Work, calls: int) -> Callable:
        """Some calls in a loop, of which XLA can neither leave a result out nor move one out of the loop.

        Two copies of the arrays take turns, as batches and weights do in training, and each call's results
        take the place of those before. (XLA:CPU looks through `lax.optimization_barrier`.)
        """
        each = mesh.over_lanes(lambda lane, _: work(*lane), self.strategy)

        def run(both: tuple) -> Any:
            def call(number: Any, _: Any) -> Any:
                given = [lax.dynamic_index_in_dim(a, number % 2, 1, keepdims=False) for a in both]
                return each(tuple(given), ())

            shapes = jax.eval_shape(call, 0, None)
            start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
            return lax.fori_loop(0, calls, call, start)

        return run
