"""The devices as a mesh, and functions compiled for each device's share of it.

    jit(shard_map(vmap(function)))        # or lanes in turn, in place of vmap

Lanes need nothing of each other: over the axis `lanes` no device talks to another.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

BATCH_AXIS = "batch"  # the mesh axis over which the examples of a lane are spread
LANES, WHOLE = PartitionSpec("lanes"), PartitionSpec()
ROWS = PartitionSpec(None, BATCH_AXIS)  # of batches of examples
LANE_ROWS = PartitionSpec("lanes", None, BATCH_AXIS)

# XLA:CPU's older emitters compile these programs sooner. What they compile runs as fast for small
# convolutional nets, and some 8 % longer for dense ones with Adam (`python -m benchmarks.lowerings`).
_QUICKLY: dict[str, str | bool] = {"xla_cpu_use_fusion_emitters": False}


def lane_mesh(devices: Sequence[jax.Device], batch: int = 1) -> Mesh:
    """A mesh of `lanes` × `batch`: lanes are spread over one axis, the examples of each over the other.

    Args:
        devices: as many as a multiple of `batch`.
        batch: devices that share a lane.
    """
    auto = (jax.sharding.AxisType.Auto,) * 2
    shape = (len(devices) // batch, batch)
    return jax.make_mesh(shape, ("lanes", BATCH_AXIS), axis_types=auto, devices=devices)


@functools.cache
def compiler_options(platform: str) -> dict[str, str | bool] | None:
    """What makes compiling quick on this platform and this XLA, which may no longer know the option."""
    if platform != "cpu":
        return None
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=_QUICKLY)
    except jax.errors.JaxRuntimeError:
        return None
    return _QUICKLY


def over_lanes(function: Callable, strategy: str) -> Callable:
    """`function(lane, data)` of one lane → the same of K lanes.

    With "vmap" the lanes run side by side in wider operations; with "map" in turn, one after the other,
    which keeps a lane's numbers in the cache and lets idle lanes cost nothing. With "vmap:8" eight run side
    by side, and such groups in turn.
    """
    if strategy == "vmap":
        return jax.vmap(function, in_axes=(0, None))
    beside = int(strategy.partition(":")[2] or 0) or None

    def run(lanes: Any, data: Any) -> Any:
        return lax.map(lambda lane: function(lane, data), lanes, batch_size=beside)

    return run


def compiled(
    function: Callable,
    name: str,
    mesh: Mesh,
    arguments: tuple,
    specs: tuple,
    out: Any,
    donate: bool,
    thoroughly: bool = False,
) -> Any:
    """`function` on each device's share, compiled ahead of time for arguments of these shapes.

    Args:
        function: of the shares.
        name: of the executable.
        mesh: from `lane_mesh`.
        arguments: trees of arrays or shapes.
        specs: of each argument, for parts of its tree or all of it.
        out: specs of the result.
        donate: the first argument's buffers become the result's.
        thoroughly: rather quick to run than quick to compile.
    """

    def run(*everything: Any) -> Any:
        return function(*everything)

    run.__name__ = name
    placed = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)

    def described(spec: PartitionSpec, tree: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    is_spec = functools.partial(_is_a, PartitionSpec)
    shapes = jax.tree.map(described, specs, arguments, is_leaf=is_spec)
    lowered = jax.jit(placed, donate_argnums=(0,) if donate else ()).lower(*shapes)
    options = None if thoroughly else compiler_options(mesh.devices.flat[0].platform)
    return lowered.compile(compiler_options=options)


def _is_a(kind: type, value: Any) -> bool:
    return isinstance(value, kind)


def row(array: jax.Array, lane: int) -> np.ndarray:
    """One lane's part of an array over the mesh. Indexing the array itself would compile a program."""
    found = np.empty(array.shape[1:], array.dtype)
    for shard in array.addressable_shards:
        lanes, *rest = shard.index
        if (lanes.start or 0) <= lane < (lanes.stop or array.shape[0]):
            found[tuple(rest)] = np.asarray(shard.data)[lane - (lanes.start or 0)]
    return found


def peak_bytes(executable: Any) -> int | None:
    """What an executable needs on one device as XLA plans it, arguments included; None if unknown."""
    analysis = executable.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.temp_size_in_bytes
        + analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def counted(executable: Any) -> tuple[float | None, float | None]:
    """FLOPs, and bytes read and written, of an executable on one device by XLA's count; None if unknown.

    A loop's body counts once, however often it runs, and of a branch the dearer side.
    """
    analysis = executable.cost_analysis() or {}
    flops, size = (analysis.get(name) for name in ("flops", "bytes accessed"))
    # Negative where XLA does not know.
    return flops if flops and flops > 0 else None, size if size and size > 0 else None
