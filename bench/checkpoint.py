"""Checkpoints of a run directory: written beside training, verified before they are believed.

A checkpoint is a folder of `checkpoints/`, named by a number that counts up (`bench/checkpoint_files.py`).
One without a manifest is what a killed process left. Old ones go only when a newer one is whole, and their
manifests first. So whenever the process or the machine dies, the newest whole one is there and can be told.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from bench import checkpoint_files as files
from bench.checkpoint_files import Saved
from bench.journal import RecordError

__all__ = ["Checkpoints", "Saved"]


class Checkpoints:
    """The checkpoints in a folder, written one at a time by a thread of their own.

    Args:
        folder: made by the first `save`.
        keep: how many checkpoints stay, at least 1.
        say: shows one line to the user; the writing thread calls it too.

    Attributes:
        seconds: that writing the last one took, tried or done, once `busy` is over.
    """

    def __init__(self, folder: Path, keep: int = 2, say: Callable[[str], None] = print):
        self._folder, self._keep, self._say = folder.absolute(), keep, say
        # Begun while there is memory: without it, Python would wait for the start of a thread for ever.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future = self._thread.submit(lambda: None)
        self._failed, self.seconds = False, 0.0
        self._damaged: set[Path] = set()

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return not self._writing.done()

    def save(
        self, about: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]
    ) -> None:
        """Begins to write a checkpoint and returns; waits first if one is being written.

        A disk that is full or read-only is no error: it is told once, until a save succeeds again, and `wait`
        returns it. Call `wait` before the process ends, too.

        Args:
            about: JSON, and NaN and infinities, which Python's JSON keeps; taken as it is now.
            arrays: {program: {path of a leaf: array}} on the host, not to be changed from now on.

        Raises:
            TypeError: `about` is not JSON.
            ValueError: an array has a dtype that is not kept.
        """
        self.wait()
        held = files.described(about, arrays)
        self._writing = self._thread.submit(self._write_timed, *held)

    def wait(self) -> bool:
        """Until nothing is being written; whether the checkpoint last asked for, if any, is on the disk."""
        wait([self._writing])
        return not self._failed

    def failed(self, error: Exception) -> None:
        """Takes note that a checkpoint could not be had; the user is told of the first of a row."""
        if not self._failed:
            why = files.reason(error)
            self._say(f"cannot write a checkpoint in {self._folder}: {why}; going on without")
        self._failed = True

    def newest(self, belongs: Callable[[Saved], bool] = lambda _: True) -> Saved | None:
        """The newest whole checkpoint, None if there is none; the user is told why newer ones are not used.

        Args:
            belongs: whether a checkpoint is of what else the run directory holds.

        Raises:
            RecordError: a newer version wrote it, or the folder cannot be read.
        """
        self.wait()
        found, told = None, []
        for path in reversed(self._paths()):
            try:
                whole = files.read(path)
            except files.DamagedError as error:
                told.append(f"checkpoint {path} is damaged ({error})")
            else:
                if belongs(whole):
                    found = whole
                    break
                told.append(f"checkpoint {path} does not belong to what is recorded")
            self._damaged.add(path)
        if told:
            then = f"going on from {found.number:08}" if found else "starting without a checkpoint"
            self._say("; ".join([*told, then]))
        return found

    def _write_timed(self, about: bytes, arrays: Mapping[str, np.ndarray]) -> None:
        began = time.perf_counter()
        self._write(about, arrays)
        self.seconds = time.perf_counter() - began

    def _write(self, about: bytes, arrays: Mapping[str, np.ndarray]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            last = max((int(path.name) for path in self._paths()), default=0)
            path = self._folder / f"{last + 1:08}"
            path.mkdir()
            try:
                files.write(path, about, arrays)
            except Exception:
                shutil.rmtree(path, ignore_errors=True)
                raise
        except Exception as error:  # of many kinds, by way of Orbax
            self.failed(error)
            return
        self._failed = False
        with contextlib.suppress(OSError, RecordError):
            self._delete_old()

    def _delete_old(self) -> None:
        paths = self._paths()
        whole = [p for p in paths if p not in self._damaged and (p / files.MANIFEST).exists()]
        for path in set(paths) - set(whole[-self._keep :]):
            if path.is_dir() and not path.is_symlink():
                # First, for what is cut short here must look unfinished.
                (path / files.MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(path, ignore_errors=True)

    def _paths(self) -> list[Path]:
        """Everything that is named like a checkpoint, oldest first."""
        try:
            found = [p for p in self._folder.iterdir() if re.fullmatch("[0-9]{8,18}", p.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RecordError(f"cannot read {self._folder}: {error.strerror}") from error
        return sorted(found, key=lambda path: int(path.name))
