"""A row of small pictures, such as the weights of each class."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from bench.report.charts.spec import Spec, chart, columns

_GAP = 10


def pictures(
    arrays: Sequence[np.ndarray],
    names: Sequence[str] = (),
    title: str = "",
    side: int = 72,
    across: int = 12,
    signed: bool = False,
) -> Spec:
    """Small pictures side by side, their names above them.

    Args:
        arrays: (H, W) or (H, W, 3) each. uint8 as it is; of other numbers the least is black, the greatest of
            all pictures together white.
        names: of each; numbers from 0 on without them.
        title: above them.
        side: pixels of the longer side of each.
        across: how many stand in a row.
        signed: 0 is middle gray, and as far from black as from white.
    """
    names = names or list(map(str, range(len(arrays))))
    gray = _levels(arrays, signed)
    data = columns(
        url=[_png(array, side) for array in gray],
        name=[f"{name}" for name in names],
        column=[number % across for number in range(len(gray))],
        row=[number // across for number in range(len(gray))],
    )
    step, rows = side + _GAP, math.ceil(len(gray) / across)
    place = {"type": "ordinal", "axis": None}
    encoding = {"x": {"field": "column", **place}, "y": {"field": "row", **place}}
    image = {"type": "image", "width": side, "height": side}
    text = {"type": "text", "dy": -side / 2 - 8, "fontSize": 10, "limit": step}
    told = {"description": {"field": "name"}, "tooltip": {"field": "name", "title": "name"}}
    layer = [
        {"mark": image, "encoding": {"url": {"field": "url"}, **told}},
        {"mark": text, "encoding": {"text": {"field": "name"}}},
    ]
    size = {"width": step * min(across, max(len(gray), 1)), "height": (step + 16) * rows}
    return chart(data, title, **size, encoding=encoding, layer=layer)


def _levels(arrays: Sequence[np.ndarray], signed: bool) -> list[np.ndarray]:
    """As (H, W) or (H, W, 3) uint8, all on one scale."""
    if all(array.dtype == np.uint8 for array in arrays):
        return list(arrays)
    known = [
        np.nan_to_num(np.asarray(array, np.float64), posinf=0.0, neginf=0.0) for array in arrays
    ]
    low = min((float(array.min()) for array in known if array.size), default=0.0)
    high = max((float(array.max()) for array in known if array.size), default=0.0)
    if signed:
        high = max(abs(low), abs(high))
        low = -high
    scale = 255 / (high - low) if high > low else 0.0
    return [((array - low) * scale).round().astype(np.uint8) for array in known]


def _png(array: np.ndarray, side: int) -> str:
    """A data URL, in whole pixels, so that nothing smooths it."""
    repeat = max(1, side // max(array.shape[:2]))
    large = array.repeat(repeat, axis=0).repeat(repeat, axis=1)
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(large)).save(content, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
