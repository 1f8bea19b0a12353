"""The journal of a run directory, and how its other files are written.

Each line of the journal is a JSON object with a checksum, appended and flushed to disk before anything
depends on it. A torn last line, from a process that was killed, is cut off; a damaged one elsewhere is an
error. Views are written to a temporary file and renamed, so that a reader sees the old or the new.
"""

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Self

from bench import files
from bench.errors import ConvoyError, brief

_CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\n')
_SUFFIX = len(',"crc32":"01234567"}\n')
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_PLAIN = frozenset((str, int, bool, type(None)))


class RecordError(ConvoyError):
    """A run directory that cannot be read or written."""


@dataclass(frozen=True)
class Position:
    """A place in a journal, and a checksum of all before it: a checkpoint knows by it whose it is."""

    bytes: int = 0
    crc32: int = 0


class Journal:
    """The record of one run directory: appended to, and cut back to where a checkpoint was taken.

    Args:
        path: of the file; made if missing, its torn last line cut off if there is one.

    Attributes:
        position: its end.

    Raises:
        RecordError: a damaged line, or a file that cannot be opened.
    """

    def __init__(self, path: Path):
        try:
            self.position = Position()
            if path.exists():
                self.position = _end(path)
                os.truncate(path, self.position.bytes)
            # Unbuffered: a failed write leaves nothing behind that closing would try again.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise RecordError(f"cannot write {path}: {error.strerror}") from error

    def cut(self, position: Position) -> None:
        """Takes back what was written after `position`: it is about to be computed again.

        Raises:
            RecordError: the disk refuses.
        """
        try:
            self._file.truncate(position.bytes)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(f"cannot write {self._file.name}: {error.strerror}") from error
        self.position = position

    def append(self, *events: Mapping[str, Any]) -> None:
        """Writes events, in order, and waits until the disk has them.

        Raises:
            RecordError: the disk is full or gone.
        """
        left = content = b"".join(map(_line, events))
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordError(
                f"cannot write {self._file.name}: {error.strerror}; what it holds is whole, and the same "
                "command goes on from there"
            ) from error
        size, crc32 = self.position.bytes + len(content), zlib.crc32(content, self.position.crc32)
        self.position = Position(size, crc32)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def holds(path: Path, position: Position) -> bool:
    """Whether a journal goes as far as `position`, and is the same up to there."""
    try:
        with path.open("rb") as file:
            content = file.read(position.bytes)
    except OSError:
        return False
    return Position(len(content), zlib.crc32(content)) == position


def _end(path: Path) -> Position:
    """Where the last whole line ends."""
    whole = sum(len(body) - 1 + _SUFFIX for body in _bodies(path))
    with path.open("rb") as file:
        return Position(whole, zlib.crc32(file.read(whole)))


def _line(event: Mapping[str, Any]) -> bytes:
    try:
        text = _encode(event)
    except (TypeError, ValueError):  # a mapping that is no dict, or a number that JSON lacks
        text = _encode(finite(event))
    body = text.encode()
    return b'%b,"crc32":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def finite(value: Any) -> Any:
    """NaN and infinities as None: JSON has no word for them."""
    if isinstance(value, Mapping):
        # Most values are plain: a call for each would be most of what a journal costs.
        return {
            k: v if type(v) in _PLAIN or (type(v) is float and isfinite(v)) else finite(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [v if type(v) in _PLAIN else finite(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a journal, one at a time, without a torn last line.

    Raises:
        RecordError: no such file, or a line that is damaged or no event; names the line.
    """
    for number, body in enumerate(_bodies(path), 1):
        try:
            event = json.loads(body)
            event["event"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise RecordError(
                f"{path}, line {number}, is no event ({brief(error)}); use another run directory"
            ) from error
        yield event


def _bodies(path: Path) -> Iterator[bytes]:
    """The JSON of each whole line, without its checksum."""
    try:
        with files.opened(path) as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):  # torn
                    return
                body = line[:-_SUFFIX] + b"}"
                found = _CHECKSUM.fullmatch(line[-_SUFFIX:])
                if found is None or zlib.crc32(body) != int(found[1], 16):
                    raise RecordError(
                        f"{path}, line {number}, is damaged; "
                        f"restore the file, or cut it to {number - 1} lines"
                    )
                yield body
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror}; is it a run directory?"
        ) from error


def make(folder: Path) -> None:
    """Makes a folder, unless it is there.

    Raises:
        RecordError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot make the folder {folder}: {error.strerror}") from error


def remove_unfinished(folder: Path) -> None:
    """Removes what `write_file` had begun in a folder, or in one inside, when its process was killed."""
    for path in folder.rglob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def write_file(path: Path, content: bytes) -> None:
    """Writes a view: whole or not at all.

    Raises:
        RecordError: the disk is full, or the directory read-only; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RecordError(f"cannot write {path}: {error.strerror}") from error
