"""Numbers as people read them. None, for what was not measured, is always "unknown"."""

from typing import Any

UNKNOWN = "unknown"
# From this many examples on, a second decimal of a percentage is more than the size of one example.
_FINE = 2000


def number(value: float | None) -> str:
    """Three significant digits, thousands apart: 0.0123, 24.0, 1,234."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def count(value: int | None) -> str:
    """A whole number, thousands apart."""
    return UNKNOWN if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """A duration in the units that suit it: 3.4 ms, 12.3 s, 1 min 12 s, 2 h 5 min."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0 s"
    if value < 0.9995:
        return f"{1000 * value:.3g} ms"
    return f"{value:.1f} s" if value < 59.95 else whole_seconds(value)


def whole_seconds(value: float) -> str:
    """A duration as a clock shows it: 5 s, 1 min 12 s, 2 h 5 min."""
    if value < 59.5:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    # Rounded again from the start, so that 59.6 minutes do not lose their seconds on the way.
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes} min"


def size(value: float | None) -> str:
    """Bytes in binary units: 512 B, 3.5 MiB, 139 GiB."""
    if value is None:
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def percent(fraction: float | None, examples: int | None = None) -> str:
    """A fraction of 1 as a percentage, with the decimals that `examples` can tell apart."""
    return UNKNOWN if fraction is None else f"{_hundredths(fraction, examples)} %"


def interval(low: float, high: float, examples: int | None = None) -> str:
    """Two fractions of 1 as `[96.8, 99.4]`, in percent."""
    return f"[{_hundredths(low, examples)}, {_hundredths(high, examples)}]"


def _hundredths(fraction: float, examples: int | None) -> str:
    return f"{100 * fraction:.{2 if examples and examples >= _FINE else 1}f}"


def setting(value: Any) -> str:
    """A hyperparameter's value; None, where it is inactive, is a dash."""
    if value is None:
        return "–"
    if isinstance(value, tuple | list):
        return ", ".join(map(setting, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
