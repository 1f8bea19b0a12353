"""Gives an input to a reader and watches: what comes out, how long it takes, what it opens and allocates.

An input is known by its target and a number, from which it is made again.
"""

import contextlib
import os
import re
import resource
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from bench.errors import CONTROL, ConvoyError
from tests.fuzz.targets import Target

DEADLINE_S = 20
MOST_MEMORY = (
    2**30
)  # bytes by which an input may raise the process's peak; 64 million pixels take 0.8 of it
MOST_WORDS = 1500  # characters of an error, paths included
# A folder in memory, where there is one: on a disk, making and removing it takes as long as reading.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = re.compile(
    r"(os\.(mk|link|symlink|remove|rename|rmdir|chmod|chown|truncate|utime|exec|spawn|posix_spawn|fork|system|putenv)"
    r"|subprocess|socket|shutil|pickle|marshal|exec$|builtins\.(input|breakpoint)|ctypes\.dlopen|code\.)"
)
# Where a reader may look beside its input: Python's own files, and what the system tells of itself.
_SYSTEM = tuple(
    str(Path(place).resolve())
    for place in (
        *sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, Path(__file__).parents[2] / "bench",
        "/proc", "/sys", "/dev/null", "/usr/share", "/etc/mime.types",
    )
)  # fmt: skip


class MisreadError(Exception):
    """A reader did with an input what none may."""


class Hang(BaseException):
    """The deadline. No reader catches it."""


_inputs: list[Path] = []  # the folder that is being read, while it is
_seen: list[str] = []  # what was done meanwhile that nobody may


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _inputs or sys.is_finalizing():
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int):
            return
        name = os.path.realpath(os.fsdecode(path)) if path else ""
        inside = Path(name).is_relative_to(_inputs[-1])
        known = name.startswith(_SYSTEM)
        if flags & _WRITING or not (inside or known):
            _seen.append(f"opened {name!r} with flags {flags:o}")
    elif _FORBIDDEN.match(event) and not _importing():
        _seen.append(f"{event} {arguments!r:.200}")


def _importing() -> bool:
    """Whether the interpreter is importing a module, which compiles and runs its code."""
    frame: Any = sys._getframe(2)
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


sys.addaudithook(_audit)


def attempt(target: Target, number: int, keep: Path | None = None) -> str:
    """Gives a target the input of this number.

    Args:
        keep: where to leave an input that fails.

    Returns:
        "accepted" or "refused".

    Raises:
        MisreadError: it did something else.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz", dir=_MEMORY) as temporary:
        place = Path(temporary).resolve() / "input"
        place.mkdir()
        target.write(Random(f"{target.name}/{number}"), place)
        try:
            return _read(target, place)
        except MisreadError as failure:
            if keep is not None:
                with contextlib.suppress(OSError, shutil.Error):
                    shutil.copytree(place, keep / f"{target.name}-{number}", symlinks=True)
            raise MisreadError(f"{target.name}, input {number}: {failure}") from failure.__cause__


def _read(target: Target, place: Path) -> str:
    before = _peak()
    try:
        with _watched(place):
            target.read(place)
        outcome = "accepted"
    except ConvoyError as error:
        outcome = "refused"
        _check_words(str(error), place)
    except Hang as hang:
        raise MisreadError(f"took over {DEADLINE_S} s") from hang
    except BaseException as error:
        raise MisreadError(f"{type(error).__name__}: {error!s:.300}") from error
    if _seen:
        raise MisreadError("; ".join(_seen))
    if _peak() - before > MOST_MEMORY:
        raise MisreadError(f"took {_peak() - before} bytes of memory")
    return outcome


def _check_words(words: str, place: Path) -> None:
    """One line, printable, not endless, that names a file of the input."""
    if CONTROL.search(words) or len(words) > MOST_WORDS:
        raise MisreadError(f"the error is not fit to be printed: {words!r:.300}")
    if str(place) not in words and "--config" not in words:
        raise MisreadError(f"the error names no file: {words!r:.300}")


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def _watched(place: Path) -> Iterator[None]:
    def hang(*_: object) -> None:
        raise Hang

    _seen.clear()
    old = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    _inputs.append(place)
    try:
        yield
    finally:
        _inputs.pop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
