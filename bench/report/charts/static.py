"""Specifications as SVG, and Vega itself for a page, both from `vl-convert` and without a network."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bench import files, host
from bench.errors import brief
from bench.journal import RecordError, write_file
from bench.report.charts.spec import Spec, config

_DRAW = Path(__file__).with_name("draw.py")
_PATIENCE_S = 120.0
_MOST_BYTES = 2**24  # of Vega


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        svg: name → text of an SVG file, of what could be drawn.
        bundle: JavaScript that defines `vegaEmbed`; empty where it could not be had.
        why: what could not be done, and why; empty if all was.
    """

    svg: Mapping[str, str] = field(default_factory=dict)
    bundle: str = ""
    why: str = ""


def svg(spec: Spec) -> str:
    """The picture, light, as the text of an SVG file.

    Raises:
        ValueError: Vega-Lite cannot draw it.
    """
    import vl_convert

    return vl_convert.vegalite_to_svg(spec, config=config(), allowed_base_urls=[])


def draw(specs: Mapping[str, Spec]) -> Drawn:
    """Pictures, light, and Vega for a page, in a process of its own: no error there is one here."""
    kept = _kept()
    bundle = _read(kept)
    asked = {"specs": specs, "config": config(), "bundle": not bundle}
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_DRAW)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        answer = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return Drawn(bundle=bundle, why=f"drawing failed ({said[-1] if said else error})")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return Drawn(bundle=bundle, why=f"drawing failed ({brief(error)})")
    if not bundle:
        bundle = answer["bundle"]
        _keep(kept, bundle)
    failed = "; ".join(f"{name} ({why})" for name, why in answer["errors"].items())
    return Drawn(answer["svg"], bundle, f"could not be drawn: {failed}" if failed else "")


def _kept() -> Path | None:
    """Where Vega is kept: making it takes a second or two."""
    try:
        return host.cache_dir() / f"vega-{metadata.version('vl-convert-python')}.js"
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path | None) -> str:
    try:
        return files.content(path, _MOST_BYTES).decode() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _keep(path: Path | None, bundle: str) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, bundle.encode())
    except (OSError, RecordError):
        return  # a cache that cannot be written is no reason to stop
