"""Which lowering computes what: their names, what serves where, and the sets that a flag can ask for.

A convolution's lowering is "native", or four names by slashes: of its forward pass, its kernel's gradient,
its input's gradient, and the pool behind it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import ConfigError
from bench.ops import conv, native
from bench.ops.block import POOLS
from bench.ops.sites import DenseSite, PoolSite, Site

Choose = Callable[[Site], str]

# What XLA offers where no better is known: matrix products, which no backend is slow at.
_USUAL = ("im2col", "im2col", "im2col")
SETS: dict[str, tuple[str, str, str]] = {
    "reference": ("direct", "direct", "direct"),
    "direct": ("direct", "direct", "direct"),
    "im2col": _USUAL,
    "mixed": ("direct", "im2col", "direct"),
    "native": _USUAL,
}
NAMES = ("auto", *SETS)


def check(name: str) -> None:
    """Refuses a set that does not exist, or "native" where there is none.

    Raises:
        ConfigError: in words.
    """
    if name not in NAMES:
        raise ConfigError(
            f"lowering={name!r} is not allowed: {', '.join(NAMES[:-1])} or {NAMES[-1]}"
        )
    if name == "native" and not native.available():
        raise ConfigError(
            "lowering='native' needs a CPU and a C++ compiler (c++, g++ or clang++, $CXX, or "
            "`pip install ziglang`)"
        )


def of_set(site: Site, name: str, dtype: Any) -> str:
    """A site's lowering in a set; "auto" is the best guess without a measurement."""
    natively = name in ("auto", "native")
    if isinstance(site, DenseSite):
        return "dot"  # XLA's own product is a good one
    if isinstance(site, PoolSite):
        return _pool(site, name)
    if natively and native.serves(site, dtype):
        return "native"
    wanted = SETS.get(name, _USUAL)
    names = [
        want if want in those else "direct"
        for want, those in zip(wanted, conv.lowerings(site.kernel), strict=True)
    ]
    return "/".join([*names, _pool(site.pool, name) if site.pool else "none"])


def _pool(site: PoolSite, name: str) -> str:
    return next(n for n in pools(site) if name != "reference" or n == "window")


def pools(site: PoolSite) -> tuple[str, ...]:
    """The lowerings that serve a pool, the likely best first."""
    return tuple(name for name, serves in POOLS.items() if serves(site))


def chooser(chosen: Mapping[str, str], name: str, dtype: Any) -> Choose:
    """Site → lowering: as `chosen` for the site's text, and from the set where it says nothing.

    What was chosen on a machine with a compiler is not obeyed on one without.
    """

    def choose(site: Site) -> str:
        found = chosen.get(str(site))
        if found is None or (found == "native" and not native.available()):
            return of_set(site, name, dtype)
        return found

    return choose
