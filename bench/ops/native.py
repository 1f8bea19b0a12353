"""The lowering "native": `blocks.cc` as an operation of JAX, for CPUs.

Letters: L… lanes, B examples, H×W pixels, I channels in, O channels out, h×w taps; H'×W' pixels after the
pool.
"""

import ctypes
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.kernels.build import Build
from bench.ops.sites import ConvSite

_HANDLERS = ("block_forward", "block_kernel_gradient", "block_input_gradient")
MOST_WINDOW = 255  # a maximum's place in its window is a byte, of which one says that there is none


def _register(library: str, key: str) -> None:
    """Makes the library's functions known to XLA.

    The key is part of their names: compiled programs are kept on disk, and call by name.
    """
    if key in _State.registered:
        return
    loaded = ctypes.CDLL(library)
    for handler in _HANDLERS:
        capsule = jax.ffi.pycapsule(getattr(loaded, handler))
        jax.ffi.register_ffi_target(f"convoy_{handler}_{key}", capsule, platform="cpu")
    _State.registered.add(key)


class _State:
    registered: ClassVar[set[str]] = set()
    key: str | None = None
    compiler: str | None = None


def load(build: Build) -> str | None:
    """Loads a library, if there is one; the reason if there is none."""
    library = build.path()
    if library is None:
        return build.reason
    try:
        _register(str(library), str(build.key))
        _State.key, _State.compiler = build.key, build.compiler
    except OSError as error:
        return f"cannot load {library}: {error}"
    return None


def key() -> str | None:
    """Which library is loaded; None for none."""
    return _State.key


def compiler() -> str | None:
    """What compiled it; None for none."""
    return _State.compiler


def available() -> bool:
    """Whether a library is loaded and JAX runs on a CPU."""
    return _State.key is not None and jax.default_backend() == "cpu"


def serves(site: ConvSite, dtype: Any) -> bool:
    """Whether the kernels can do what the site needs."""
    window = site.pool.window if site.pool else (1, 1)
    return (
        available()
        and np.dtype(dtype) in (np.float32, np.float64)
        and (window[0] * window[1] < MOST_WINDOW)
    )


def block(
    images: jax.Array, kernel: jax.Array, bias: jax.Array | None, site: ConvSite
) -> jax.Array:
    """Convolution, bias, ReLU and max pool, as far as the site has them.

    Args:
        images: (B, H, W, I).
        kernel: (h, w, I, O).
        bias: (O,), or None.
        site: what is done.

    Returns:
        (B, H', W', O).
    """
    if bias is None:
        bias = jnp.zeros(kernel.shape[-1:], kernel.dtype)
    return _block(images, kernel, bias, _geometry(site))


def dense(rows: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    """(B, I) × (I, O) → (B, O): a convolution of one tap over an image of 1×B pixels."""
    site = ConvSite((1, *rows.shape), kernel.shape[-1], (1, 1), (1, 1), "VALID", bias is not None)
    return block(rows[None, None], kernel[None, None], bias, site)[0, 0]


def _geometry(site: ConvSite) -> tuple[int, ...]:
    """The struct `Geometry` of blocks.cc."""
    (top, _), (left, _) = pads = lax.padtype_to_pads(
        site.image[:2], site.kernel, site.stride, site.padding
    )
    rows, columns = _slid(site.image[:2], site.kernel, site.stride, pads)
    window, stride, how = (1, 1), (1, 1), "VALID"
    if site.pool:
        window, stride, how = site.pool.window, site.pool.stride, site.pool.padding
    pool_pads = lax.padtype_to_pads((rows, columns), window, stride, how)
    pooled = _slid((rows, columns), window, stride, pool_pads)
    return (*site.stride, top, left, rows, columns, *window, *stride,
            pool_pads[0][0], pool_pads[1][0], *pooled, int(site.relu))  # fmt: skip


def _slid(sizes: Any, window: Any, stride: Any, pads: Any) -> tuple[int, int]:
    height, width = (
        (size + sum(pad) - wide) // step + 1
        for size, wide, step, pad in zip(sizes, window, stride, pads, strict=True)
    )
    return height, width


def _call(handler: str, results: Any, *arguments: jax.Array, geometry: tuple[int, ...]) -> Any:
    call = jax.ffi.ffi_call(f"convoy_{handler}_{_State.key}", results, vmap_method="broadcast_all")
    return call(*arguments, geometry=np.array(geometry, np.int64))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _block(
    images: jax.Array, kernel: jax.Array, bias: jax.Array, geometry: tuple[int, ...]
) -> jax.Array:
    return _forward(images, kernel, bias, geometry)[0]


def _forward(
    images: jax.Array, kernel: jax.Array, bias: jax.Array, geometry: tuple[int, ...]
) -> tuple:
    *_, window_h, window_w, down, right, _, _, rows, columns, relu = geometry
    shape = (len(images), rows, columns, kernel.shape[-1])
    # Without a pool and ReLU every pixel is its own maximum, and the kernels look at no places.
    plain = (window_h, window_w, down, right, relu) == (1, 1, 1, 1, 0)
    results = (
        jax.ShapeDtypeStruct(shape, images.dtype),
        jax.ShapeDtypeStruct((1,) if plain else shape, np.uint8),
    )
    out, places = _call("block_forward", results, images, kernel, bias, geometry=geometry)
    return out, (images, kernel, bias, places)


def _backward(
    geometry: tuple[int, ...], saved: tuple, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    images, kernel, bias, places = saved
    of_images, *of_weights = (
        jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (images, kernel, bias)
    )
    # Two calls, since XLA leaves out the one whose result nobody wants: that of the first layer's input.
    weights = _call(
        "block_kernel_gradient", (*of_weights,), images, gradient, places, geometry=geometry
    )
    inputs = _call("block_input_gradient", of_images, gradient, places, kernel, geometry=geometry)
    return inputs, *weights


_block.defvjp(_forward, _backward)
