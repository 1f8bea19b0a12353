"""K trials side by side on the devices: compiled functions over the lane axis.

A lane is a slot of a program's leading axis. Which trial sits where is the host's affair (`bench.program`);
here lanes are filled, trained, evaluated, parked and brought back, each call one dispatch.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding

from bench import mesh, padding, precision
from bench.device_data import DeviceData
from bench.hyper import hyper_of
from bench.initial import initial_values
from bench.parked import Parked, packed, unpacked
from bench.plan import ProgramPlan
from bench.state import TEST, TRAIN, VALID, Epoch, Evaluation, Lane
from bench.step import LaneProgram
from bench.timing import Clock, Stopwatch
from bench.trial import Trial

# Parameters written at a time: filled lanes share a dispatch up to this size.
_FILL_NUMBERS = 1 << 20


class Lanes:
    """The compiled functions of one program and the state of its K lanes.

    Args:
        program: the plan.
        data: on the devices of the mesh.
        dtype: of parameters and arithmetic, or a name of `precision.PRECISIONS`.
        clock: seconds, monotonic.
        curve: training also returns the sums of each iteration.

    Attributes:
        watch: its phases: `input`, `train`, `evaluate`.
        compile_s: seconds that tracing and compiling took, after `compile`.
        state_bytes: of one lane, after `compile`.
        peak_bytes: of the training function on one device, as XLA plans it, after `compile`; None where it
            does not say.
        counted: FLOPs and bytes of the training function on one device by XLA's count, after `compile`.
    """

    def __init__(
        self,
        program: ProgramPlan,
        data: DeviceData,
        dtype: Any = jnp.float32,
        clock: Clock = time.perf_counter,
        curve: bool = False,
    ):
        self.program, self.data, self.clock = program, data, clock
        self.watch = Stopwatch(clock)
        shape, shares = data.dataset.image_shape, data.mesh.shape[mesh.BATCH_AXIS]
        self.lane = LaneProgram(program, shape, len(data.dataset.train), dtype, shares, curve)
        self.sharding = NamedSharding(data.mesh, mesh.LANES)
        self.compile_s, self.state_bytes = 0.0, 0
        self.peak_bytes: int | None = None
        self.counted: tuple[float | None, float | None] = (None, None)
        self._state: Any = None
        self._last: Any = None  # evaluation
        self._evaluation = data.evaluation(program.evaluation_batch)
        self._dtype = np.dtype(precision.of(dtype).stored)
        self._restore: Callable | None = None

    def compile(self, trial: Trial) -> None:
        """Compiles everything that the sweep will run; afterwards nothing is traced again.

        Args:
            trial: any of the program's, for shapes.
        """
        start, lane, program = self.clock(), self.lane, self.program
        start_shapes = self._start_shapes(trial)
        one = jax.eval_shape(lane.fresh, *start_shapes)
        self.state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
        self._shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((program.lanes, *leaf.shape), leaf.dtype), one
        )

        def fill(state: Lane, slots: jax.Array, fresh: tuple) -> Lane:
            return self._written(state, slots, jax.vmap(lane.fresh)(*fresh))

        def train(state: tuple, shared: tuple) -> tuple[Lane, jax.Array | None]:
            old, active, epoch = state
            idle = (old, lane.no_sums(program.steps))
            return lax.cond(active, lambda: lane.train(old, epoch, *shared), lambda: idle)

        def evaluate(state: tuple, shared: tuple) -> Evaluation:
            return lane.evaluate(state[0], *shared)

        K, keys = program.lanes, np.zeros((program.lanes, 2), np.uint32)
        rates = np.zeros((K, program.steps), self._dtype)
        epochs = Epoch(rates, np.zeros((K, lane.examples), np.int32), keys, keys)
        slots = np.zeros(self.fill_size, np.int32)
        fresh = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((self.fill_size, *a.shape), a.dtype), start_shapes
        )
        self._fill = self._compiled(
            fill, (slots, fresh), (mesh.WHOLE, mesh.WHOLE), mesh.LANES, donate=True
        )
        self._train = self._compiled(
            self._each_lane(train),
            ((np.zeros(K, bool), epochs), (np.int32(0), self.data.training)),
            (mesh.LANES, mesh.WHOLE),
            mesh.LANES,
            donate=True,
        )
        specs: Any = (mesh.LANES, mesh.LANES, mesh.LANE_ROWS, mesh.LANES)
        self._evaluate = self._compiled(
            self._each_lane(evaluate),
            ((), (self._evaluation, self.data.training)),
            (mesh.LANES, (mesh.ROWS, mesh.WHOLE)),
            Evaluation(*specs),
        )
        self.peak_bytes = mesh.peak_bytes(self._train)
        self.counted = mesh.counted(self._train)
        self.compile_s = self.clock() - start

    @property
    def fill_size(self) -> int:
        """How many lanes one dispatch fills."""
        return max(1, min(self.program.lanes, _FILL_NUMBERS // self.lane.packing.size))

    def _each_lane(self, function: Callable) -> Callable:
        each = mesh.over_lanes(function, self.program.strategy)

        def run(state: Lane, per_lane: tuple, shared: tuple) -> Any:
            return each((state, *per_lane), shared)

        run.__name__ = function.__name__
        return run

    def _written(self, state: Lane, slots: jax.Array, lanes: Lane) -> Lane:
        """The state of this device's lanes with those of `slots` replaced, those elsewhere left out."""
        here = jax.tree.leaves(state)[0].shape[0]
        slots = slots - lax.axis_index("lanes") * here
        slots = jnp.where((slots >= 0) & (slots < here), slots, here)
        return jax.tree.map(lambda a, b: a.at[slots].set(b, mode="drop"), state, lanes)

    def _compiled(
        self, function: Callable, arguments: tuple, specs: tuple, out: Any, donate: bool = False
    ) -> Callable:
        """`function(state, *arguments)` on each device's share; `donate` reuses the state's buffers."""
        name = f"{function.__name__}_{self.program.id}"  # for profiles and compile logs
        everything, specs = (self._shapes, *arguments), (mesh.LANES, *specs)
        thoroughly = self.program.thorough and function.__name__ == "train"
        return mesh.compiled(
            function, name, self.data.mesh, everything, specs, out, donate, thoroughly
        )

    def _fresh(self, trials: Sequence[Trial]) -> tuple[np.ndarray, np.ndarray, dict]:
        """The starts of up to `fill_size` trials on the host, as `LaneProgram.fresh` takes them, stacked."""
        rows = [self._start(trial) for trial in trials]
        rows += rows[:1] * (self.fill_size - len(rows))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)

    def _start_shapes(self, trial: Trial) -> tuple[Any, Any, dict]:
        """The shapes of `_start`, without drawing what may be too large to draw."""
        sizes = (self.lane.packing.size, self.lane.stats_packing.size)
        params, stats = (jax.ShapeDtypeStruct((size,), self._dtype) for size in sizes)
        return params, stats, self._hyper(trial, self._fit(trial))

    def _fit(self, trial: Trial) -> padding.Fit:
        dataset = self.data.dataset
        layers = trial.layers(dataset.classes)
        return padding.fit(layers, self.program.layers, dataset.image_shape)

    def _hyper(self, trial: Trial, fit: padding.Fit) -> dict[str, np.ndarray]:
        dataset = self.data.dataset
        hyper = hyper_of(trial, self.program, fit, dataset.train.labels, dataset.classes)
        found = {name: np.asarray(value) for name, value in hyper.items()}
        return {n: a.astype(self._dtype) if a.dtype.kind == "f" else a for n, a in found.items()}

    def _start(self, trial: Trial) -> tuple[np.ndarray, np.ndarray, dict]:
        dataset, lane, fit = self.data.dataset, self.lane, self._fit(trial)
        layers, starts = trial.layers(dataset.classes), []
        for packing, places, kind in (
            (lane.packing, fit.params, "arrays"),
            (lane.stats_packing, fit.stats, "statistics"),
        ):
            start = np.zeros(packing.size, self._dtype)
            own = padding.arrays(layers, dataset.image_shape, kind)
            start[places] = initial_values(own, trial["seed"], trial["init"])
            starts.append(start)
        return starts[0], starts[1], self._hyper(trial, fit)

    @property
    def bytes_needed(self) -> int:
        """On each device, to train: what XLA plans, without the data set that all programs share.

        On a CPU with a checkpoint's copy of the states, which lies in the same memory.
        """
        lanes = self.program.lanes // self.data.mesh.shape["lanes"]
        copied = lanes * (self.lane_bytes - self.state_bytes)
        return max(0, (self.peak_bytes or 0) - self.data.bytes) + copied

    @property
    def lane_bytes(self) -> int:
        """What a lane needs beside all that lanes in turn share: its state, and its copy, if any."""
        on_host = self.data.mesh.devices.flat[0].platform == "cpu"
        return self.state_bytes * (2 if on_host else 1)

    @property
    def states_bytes(self) -> int:
        """Of all lanes, which a checkpoint copies."""
        return self.program.lanes * self.state_bytes

    @property
    def is_open(self) -> bool:
        """Whether the lanes have memory on the devices."""
        return self._state is not None

    def open(self, parked: Mapping[int, Parked] | None = None) -> None:
        """Takes memory for the lanes, idle but for those whose parked states are given.

        Raises:
            RecordError: these are of another program.
        """
        whole = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self._shapes)
        for lane, state in (parked or {}).items():
            for rows, row in zip(
                *map(jax.tree.leaves, (whole, unpacked(state, self._shapes))), strict=True
            ):
                rows[lane] = row
        self._state = jax.tree.map(lambda leaf: jax.device_put(leaf, self.sharding), whole)

    def close(self) -> None:
        """Gives the lanes' memory back."""
        self._state = self._last = None

    def fill(self, seats: Sequence[tuple[int, Trial]]) -> None:
        """Writes fresh trials into lanes; the other lanes keep their state to the bit.

        Args:
            seats: (lane, trial) of each.
        """
        for first in range(0, len(seats), self.fill_size):
            slots, trials = zip(*seats[first : first + self.fill_size], strict=True)
            nowhere = [self.program.lanes] * (self.fill_size - len(slots))
            where = np.array([*slots, *nowhere], np.int32)
            self._state = self._fill(self._state, where, self._fresh(trials))
        jax.block_until_ready(self._state)  # else the next dispatch would be timed with it

    def park(self, lanes: Sequence[int]) -> list[Parked]:
        """The whole states of lanes, as copies on the host: other trials may take the lanes."""
        return packed(self._state, lanes)

    def restore(self, slot: int, parked: Parked) -> None:
        """Writes a parked state into a lane, of this or another place: training goes on to the bit.

        Raises:
            RecordError: it is of another program.
        """
        stacked = jax.tree.map(lambda leaf: leaf[None], unpacked(parked, self._shapes))
        if self._restore is None:

            def restore(state: Lane, slots: jax.Array, parked: Lane) -> Lane:
                return self._written(state, slots, parked)

            arguments = (np.zeros(1, np.int32), stacked)
            self._restore = self._compiled(
                restore, arguments, (mesh.WHOLE, mesh.WHOLE), mesh.LANES, True
            )
        self._state = self._restore(self._state, np.array([slot], np.int32), stacked)
        jax.block_until_ready(self._state)

    def train(
        self, active: np.ndarray, epochs: Epoch, first: int
    ) -> tuple[float, jax.Array | None]:
        """S iterations in every active lane, in one dispatch, waited for.

        Args:
            active: (K,) bool.
            epochs: of each lane's trial, arrays with a leading lane axis.
            first: the first of these iterations, counted in the epoch.

        Returns:
            Its seconds, and, if asked for, (K, S, 4) the sums of each iteration (`LaneProgram.train`).
        """
        with self.watch("input"):
            rates = np.asarray(epochs.rates, self._dtype)
            each = jax.device_put((active, epochs._replace(rates=rates)), self.sharding)
            jax.block_until_ready(each)
        with self.watch("train"):
            shared = (np.int32(first), self.data.training)
            trained = self._train(self._state, each, shared)
            self._state, sums = jax.block_until_ready(trained)
        return self.watch.take("train"), sums

    def evaluate(self) -> tuple[Mapping[str, np.ndarray], float]:
        """Every lane's metrics, and the seconds they took.

        Returns:
            Arrays of (K,), NaN where a segment is empty: `running_loss` and `running_accuracy` (means over
            the epoch as it was trained), `last_loss` (of the last microbatch for which it was finite),
            `train_…`, `valid_…` and `test_…` `loss` and `accuracy` (of the weights as they are now),
            `collapsed`; and the seconds.
        """
        with self.watch("evaluate"):
            self._last = self._evaluate(self._state, (), (self._evaluation, self.data.training))
            loss, correct, collapsed = jax.device_get(
                (self._last.loss, self._last.correct, self._last.collapsed)
            )
            state = self._state
            sums = (state.loss, state.weight, state.correct, state.seen, state.last_loss)
            run_loss, weight, run_correct, seen, last_loss = jax.device_get(sums)
        seconds = self.watch.take("evaluate")
        with np.errstate(divide="ignore", invalid="ignore"):
            metrics = {"running_loss": run_loss / weight, "running_accuracy": run_correct / seen}
            for segment, name in ((TRAIN, "train"), (VALID, "valid"), (TEST, "test")):
                metrics[f"{name}_loss"] = loss[:, segment] / self.data.counts[segment]
                metrics[f"{name}_accuracy"] = correct[:, segment] / self.data.counts[segment]
        return {**metrics, "last_loss": last_loss, "collapsed": collapsed}, seconds

    def test_predictions(self, lane: int) -> np.ndarray:
        """(test examples,) int32: the classes that a lane chose at the last evaluation."""
        return self.data.of_segment(mesh.row(self._last.predictions, lane).reshape(-1), TEST)

    def weights(self, lane: int, trial: Trial) -> dict[str, np.ndarray]:
        """A lane's parameters and batch statistics on the host, unpadded, by path (`layers/0/kernel`)."""
        dataset, fit = self.data.dataset, self._fit(trial)
        layers = trial.layers(dataset.classes)
        found: dict[str, np.ndarray] = {}
        for kind, places, packing, parts in (
            ("arrays", fit.params, self.lane.packing, self._state.params),
            ("statistics", fit.stats, self.lane.stats_packing, self._state.stats),
        ):
            values = packing.joined([mesh.row(part, lane) for part in parts])[places]
            end = 0
            for path, shape in padding.arrays(layers, dataset.image_shape, kind):
                start, end = end, end + int(np.prod(shape))
                found[path] = values[start:end].reshape(shape)
        return found
