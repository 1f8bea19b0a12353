"""What is fuzzed: each target writes one made-up file, or tree, and reads it as Convoy would."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Any

from bench import artifacts, costs, measured, tuned
from bench.best import Trained
from bench.comparison import ratios
from bench.comparison.figures import figures
from bench.comparison.join import join
from bench.comparison.page import picture
from bench.comparison.side import Side, read
from bench.comparison.tables import differing
from bench.data import folder, load, pixels
from bench.record import Results
from bench.report.charts.static import Drawn
from bench.report.material import gather
from bench.report.reports import pictures as pictures_of
from bench.report.reports import reports
from bench.report.views import told
from tests.fuzz import pictures, tables, trees
from tests.fuzz.mutate import altered, damaged

COLORS = ("keep", "gray", "rgb")


@dataclass(frozen=True)
class Target:
    """A reader, and what it is given.

    Attributes:
        write: puts an input into an empty folder; the generator alone decides which.
        read: what Convoy does with that folder.
    """

    name: str
    write: Callable[[Random, Path], None]
    read: Callable[[Path], Any]


def _file(name: str, draw: Callable[[Random], bytes]) -> Callable[[Random, Path], None]:
    return lambda random, place: (place / name).write_bytes(draw(random)) and None


def _idx(random: Random, place: Path) -> None:
    for name, content in tables.idx(random).items():
        (place / name).write_bytes(content)


def _picture(kind: str) -> Target:
    def read(place: Path) -> Any:
        size = (place / "picture").stat().st_size % 6  # as good as any other choice
        return pixels.picture(place / "picture", (5, 4) if size % 2 else None, COLORS[size // 2])

    return Target(kind.lower(), _file("picture", partial(pictures.draw, kind=kind)), read)


def _archive(kind: str) -> Target:
    name = f"a{kind}"
    write = _file(name, partial(trees.archive, kind))
    return Target(f"folder{kind}", write, lambda place: folder.load(place / name, 6, "keep"))


def _cache(draw: Callable[[Random], bytes], name: str) -> Callable[[Random, Path], None]:
    def write(random: Random, place: Path) -> None:
        (place / name).parent.mkdir()
        (place / name).write_bytes(draw(random))

    return write


def _compared(place: Path) -> Any:
    """With itself, as far as every table and page."""
    side = Side("A", (read(place),))
    pair = join(side, side)
    return (
        [ratios.whole(pair), ratios.parts(pair), figures(pair), differing([side, side])],
        picture(pair, 0.02),
    )


CHIP = "Example chip"
_COSTS = {
    "schema": measured.SCHEMA,
    "jax": metadata.version("jax"),
    "costs": vars(costs.default("cpu")),
}
_TIMES = {"schema": tuned.SCHEMA, "chip": CHIP, "versions": {}, "numbers": {"k": {"direct": 0.5}}}


def _json(value: dict[str, Any], random: Random) -> bytes:
    text = altered(random, value)
    return damaged(random, text) if random.random() < 0.3 else text


_CONFIG = {
    "schema": 2, "dataset": "npz:a.npz", "data": {"valid_fraction": 0.0, "test_fraction": 0.25},
    "fingerprint": tables.fingerprint(),
    "space": {"features": "(8, 16)", "learning_rate": "log_uniform(0.1, 1)"},
}  # fmt: skip


def _run(random: Random, place: Path) -> None:
    """A run directory of which one file is altered, and the data that it learned."""
    kind = random.choice(("journal", "journal", "best", "config"))
    files = {
        "journal.jsonl": tables.journal(random, "few")
        if kind == "journal"
        else tables.valid_journal(),
        "best.npz": tables.best(random) if kind == "best" else tables.valid_best(),
        "config.json": altered(random, _CONFIG)
        if kind == "config"
        else json.dumps(_CONFIG).encode(),
        "a.npz": tables.valid_npz(),
    }
    for name, content in files.items():
        (place / name).write_bytes(content)


def _reported(place: Path) -> None:
    """Both reports of a run, as far as no process of its own draws them."""
    results = Results.read(place)
    with told(place):
        material = gather(place, results, data_dir=place)
        pictures_of(material)
        reports(material, Drawn(bundle="0"))


TARGETS = (
    Target("idx", _idx, lambda place: load("mnist", data_dir=place)),
    Target("npz", _file("a.npz", tables.npz), lambda place: load(f"npz:{place / 'a.npz'}")),
    *map(_picture, pictures.FORMATS),
    *map(_archive, (".tar", ".tar.gz", ".zip")),
    Target("folder", trees.folder, lambda place: folder.load(place, 6, "keep")),
    Target("run.json", _file("run.json", tables.damaged_run), artifacts.read_run),
    Target("trials.csv", _file("trials.csv", tables.damaged_trials), artifacts.read_trials),
    Target("journal.jsonl", _file("journal.jsonl", tables.journal), Results.read),
    Target("report.html", _run, _reported),
    Target("config.json", _file("config.json", partial(_json, _CONFIG)), artifacts.read_config),
    *(
        Target(
            f"compared {kind}",
            _file("journal.jsonl", partial(tables.journal, kind=kind)),
            _compared,
        )
        for kind in ("sweep", "benchmark")
    ),
    Target("best.npz", _file("best.npz", tables.best), Trained.read),
    Target(
        "costs", _cache(partial(_json, _COSTS), f"costs/{measured.file_name(CHIP)}"), measured.load
    ),
    Target(
        "lowerings",
        _cache(partial(_json, _TIMES), f"lowerings/{measured.file_name(CHIP)}"),
        lambda place: tuned.Memory(place, CHIP, {}).numbers("k"),
    ),
)
