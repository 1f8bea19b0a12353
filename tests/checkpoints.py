"""Checkpoints whose content is known by a number, for the tests of `bench/checkpoint.py` and its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from bench import checkpoint_files as files
from bench.checkpoint import Checkpoints, Saved

Arrays = dict[str, dict[str, np.ndarray]]


def bits(arrays: Any) -> dict[str, dict[str, tuple]]:
    return {
        program: {path: (type(a), a.dtype, a.shape, a.tobytes()) for path, a in paths.items()}
        for program, paths in arrays.items()
    }


def numbered(k: int) -> Arrays:
    """What the k-th checkpoint of these tests holds: two large arrays and many small ones."""
    drawn = np.random.default_rng(k)
    small = {f".opt['mu'][{i}]/x": drawn.standard_normal(i, np.float32) for i in range(12)}
    large = {".params": drawn.standard_normal((70, 90)), "order": drawn.permutation(3000)}
    return {"digits-1": {**small, **large}, "digits-2": {"step": np.array(k, np.int32)}, "idle": {}}


def is_numbered(saved: Saved | None, k: int) -> bool:
    return saved is not None and saved.about == {"k": k} and bits(saved.arrays) == bits(numbered(k))


def save(checkpoints: Checkpoints, k: int) -> bool:
    checkpoints.save({"k": k}, numbered(k))
    return checkpoints.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sign(folder: Path) -> None:
    """Makes the manifest right for what is in the folder, as a forger would."""
    (folder / "manifest.json").write_text(json.dumps(files._contents(folder)))


class Made:
    """A folder with checkpoints 1 and 2, and what the user is told."""

    def __init__(self, folder: Path) -> None:
        self.told: list[str] = []
        self.folder = folder
        self.checkpoints = Checkpoints(folder, say=self.told.append)
        assert save(self.checkpoints, 1)
        assert save(self.checkpoints, 2)
        self.first, self.last = folder / "00000001", folder / "00000002"

    def goes_on_from_the_first(self, *words: str) -> None:
        self.told.clear()
        assert is_numbered(self.checkpoints.newest(), 1)
        self.one_line(str(self.last), "going on from 00000001", *words)

    def starts_without(self, *words: str) -> None:
        self.told.clear()
        assert self.checkpoints.newest() is None
        self.one_line("starting without a checkpoint", *words)

    def one_line(self, *words: str) -> None:
        (line,) = self.told
        assert "\n" not in line
        assert len(line) < 600
        for word in words:
            assert word in line
