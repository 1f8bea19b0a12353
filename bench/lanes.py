"""K trials side by side on the devices: three compiled functions over the lane axis.

A lane is a slot of a program's leading axis. Which trial sits where is the host's affair (`bench.sweep`);
here lanes are filled, trained and evaluated, each call one dispatch.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bench.device_data import DeviceData
from bench.initial import initial_values
from bench.plan import ProgramPlan
from bench.step import TEST, TRAIN, VALID, Epoch, Evaluation, Lane, LaneProgram, hyper_of
from bench.trial import Trial

# XLA:CPU's older emitters compile these programs in half the time and run them as fast: in one process,
# interleaved, 0.93 to 1.07 of the default's time on four nets.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_use_fusion_emitters": False}


def lane_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of one axis, `lanes`, over these devices."""
    auto = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((len(devices),), ("lanes",), axis_types=auto, devices=devices)


@functools.cache
def compiler_options(platform: str) -> dict[str, str | bool] | None:
    """What helps on this platform and this version of XLA, which may no longer know the option."""
    if platform != "cpu":
        return None
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=_CPU_OPTIONS)
    except jax.errors.JaxRuntimeError:
        return None
    return _CPU_OPTIONS


def over_lanes(function: Callable, strategy: str) -> Callable:
    """`function(lane, data)` of one lane → the same of K lanes.

    With "vmap" the lanes run side by side in wider operations; with "map" in turn, one after the other,
    which keeps a lane's numbers in the cache and lets idle lanes cost nothing.
    """
    if strategy == "vmap":
        return jax.vmap(function, in_axes=(0, None))
    return lambda lanes, data: lax.map(lambda lane: function(lane, data), lanes)


class Lanes:
    """The compiled functions of one program and the state of its K lanes.

    Args:
        program: the plan.
        data: on the devices of the mesh.
        dtype: of parameters and arithmetic.
        clock: seconds, monotonic.

    Attributes:
        compiled: whether `compile` has been called.
        compile_s: seconds that tracing and compiling took, after `compile`.
        peak_bytes: of the training function, as XLA plans it; None where it does not say.
    """

    def __init__(
        self,
        program: ProgramPlan,
        data: DeviceData,
        dtype: Any = jnp.float32,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.program, self.data, self.clock = program, data, clock
        self.lane = LaneProgram(program, data.dataset.image_shape, len(data.dataset.train), dtype)
        self.steps_per_epoch = self.lane.steps_per_epoch
        self.sharding = NamedSharding(data.mesh, PartitionSpec("lanes"))
        self.compiled = False
        self.compile_s = 0.0
        self.peak_bytes: int | None = None
        self._state: Any = None
        self._evaluation = data.evaluation(program.evaluation_batch)
        self._dtype = jnp.dtype(dtype)

    def compile(self, trial: Trial) -> None:
        """Compiles everything that the sweep will run; afterwards nothing is traced again.

        Args:
            trial: any of the program's, for shapes.
        """
        start = self.clock()
        lane, program = self.lane, self.program
        fresh = self._fresh(trial)
        shapes = jax.eval_shape(lane.fresh, *fresh)
        self._state = jax.tree.map(
            lambda leaf: jax.device_put(
                np.zeros((program.lanes, *leaf.shape), leaf.dtype), self.sharding
            ),
            shapes,
        )

        def fill(state: Lane, slot: jax.Array, fresh: tuple) -> Lane:
            return jax.tree.map(
                lambda all_lanes, one: all_lanes.at[slot].set(one), state, lane.fresh(*fresh)
            )

        def train(state: tuple, shared: tuple) -> Lane:
            old, active, epoch = state
            return lax.cond(active, lambda: lane.train(old, epoch, *shared), lambda: old)

        def evaluate(state: tuple, shared: tuple) -> Evaluation:
            return lane.evaluate(state[0], *shared)

        flags = np.zeros(program.lanes, bool)
        keys = np.zeros((program.lanes, 2), np.uint32)
        epochs = Epoch(
            rates=np.zeros((program.lanes, program.steps), self._dtype),
            order=np.zeros((program.lanes, lane.examples), np.int32),
            dropout_key=keys,
            augment_key=keys,
        )
        fill.__name__ = f"fill_{program.id}"
        place = jax.jit(fill, donate_argnums=0, out_shardings=self.sharding)
        self._fill = self._finish(place.lower(self._state, np.int32(0), fresh))
        shared = (np.int32(0), self.data.training)
        self._train = self._compiled(train, (flags, epochs), shared, donate=True)
        self._evaluate = self._compiled(evaluate, (), (self._evaluation, self.data.training))
        self.peak_bytes = _peak_bytes(self._train)
        self.compiled = True
        self.compile_s = self.clock() - start

    def _fresh(self, trial: Trial) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """A trial's start on the host: what `LaneProgram.fresh` takes."""
        dataset = self.data.dataset
        hyper = hyper_of(trial, self.program, dataset.train.labels, dataset.classes)
        arrays = {name: np.asarray(value) for name, value in hyper.items()}
        floats = {n: a.astype(self._dtype) for n, a in arrays.items() if a.dtype.kind == "f"}
        params, stats = (
            initial_values(packing, trial["seed"], trial["init"]).astype(self._dtype)
            for packing in (self.lane.packing, self.lane.stats_packing)
        )
        return params, stats, {**arrays, **floats}

    def _compiled(
        self, function: Callable, per_lane: tuple, shared: tuple, donate: bool = False
    ) -> Callable:
        """`function(lane's arrays, shared)` for K lanes, compiled; `donate` reuses the state's buffers."""
        lanes, whole = PartitionSpec("lanes"), PartitionSpec()
        each = over_lanes(function, self.program.strategy)

        def run(state: Lane, per_lane: tuple, shared: tuple) -> Any:
            return each((state, *per_lane), shared)

        run.__name__ = f"{function.__name__}_{self.program.id}"  # for profiles and compile logs
        placed = jax.shard_map(
            run,
            mesh=self.data.mesh,
            in_specs=(lanes, lanes, whole),
            out_specs=lanes,
            check_vma=False,
        )
        jitted = jax.jit(placed, donate_argnums=(0,) if donate else ())

        def described(tree: Any, spec: PartitionSpec) -> Any:
            sharding = NamedSharding(self.data.mesh, spec)
            return jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
            )

        arguments = (self._state, lanes), (per_lane, lanes), (shared, whole)
        return self._finish(jitted.lower(*(described(tree, spec) for tree, spec in arguments)))

    def _finish(self, lowered: Any) -> Callable:
        platform = self.data.mesh.devices.flat[0].platform
        return lowered.compile(compiler_options=compiler_options(platform))

    def fill(self, slot: int, trial: Trial) -> None:
        """Writes a fresh trial into a lane; the other lanes keep their state to the bit."""
        self._state = self._fill(self._state, np.int32(slot), self._fresh(trial))

    def train(self, active: np.ndarray, epochs: Epoch, first: int) -> float:
        """S steps in every active lane, in one dispatch, waited for; returns its seconds.

        Args:
            active: (K,) bool.
            epochs: of each lane's trial, arrays with a leading lane axis, on the host or the devices.
            first: the first of these steps, counted in the epoch.
        """
        start = self.clock()
        epochs = epochs._replace(rates=np.asarray(epochs.rates, self._dtype))
        self._state = self._train(
            self._state, (active, epochs), (np.int32(first), self.data.training)
        )
        jax.block_until_ready(self._state)
        return self.clock() - start

    def evaluate(self) -> tuple[Mapping[str, np.ndarray], float]:
        """Every lane's metrics, and the seconds they took.

        Returns:
            Arrays of (K,), NaN where a segment is empty: `running_loss` and `running_accuracy` (means over
            the epoch as it was trained), `train_…`, `valid_…` and `test_…` `loss` and `accuracy` (of the
            weights as they are now), `collapsed`; and the seconds.
        """
        start = self.clock()
        self._last = self._evaluate(self._state, (), (self._evaluation, self.data.training))
        loss, correct, collapsed = jax.device_get(
            (self._last.loss, self._last.correct, self._last.collapsed)
        )
        sums = (self._state.loss, self._state.weight, self._state.correct, self._state.seen)
        run_loss, weight, run_correct, seen = jax.device_get(sums)
        seconds = self.clock() - start
        with np.errstate(divide="ignore", invalid="ignore"):
            metrics = {"running_loss": run_loss / weight, "running_accuracy": run_correct / seen}
            for segment, name in ((TRAIN, "train"), (VALID, "valid"), (TEST, "test")):
                metrics[f"{name}_loss"] = loss[:, segment] / self.data.counts[segment]
                metrics[f"{name}_accuracy"] = correct[:, segment] / self.data.counts[segment]
        return {**metrics, "collapsed": collapsed}, seconds

    def test_predictions(self, lane: int) -> np.ndarray:
        """(test examples,) int32: the classes that a lane chose at the last evaluation."""
        return self.data.of_segment(_row(self._last.predictions, lane), TEST)

    def weights(self, lane: int) -> dict[str, np.ndarray]:
        """A lane's parameters and batch statistics on the host, by path (`layers/0/kernel`)."""
        found: dict[str, np.ndarray] = {}
        for packing, vectors in (
            (self.lane.packing, self._state.params),
            (self.lane.stats_packing, self._state.stats),
        ):
            arrays = packing.arrays(_row(vectors, lane))
            found |= dict(zip(packing.paths, arrays, strict=True))
        return found


def _row(array: jax.Array, lane: int) -> np.ndarray:
    """One lane's part of an array over the mesh. Indexing the array itself would compile a program."""
    for shard in array.addressable_shards:
        rows = shard.index[0]
        if (rows.start or 0) <= lane < (rows.stop or array.shape[0]):
            return np.asarray(shard.data)[lane - (rows.start or 0)]
    raise IndexError(f"lane {lane} is not on this process's devices")


def _peak_bytes(compiled: Any) -> int | None:
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.temp_size_in_bytes
        + analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
    )
