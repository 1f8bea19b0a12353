"""One process at a time writes to a run directory.

    with locked(workdir):
        ...

The lock is the system's (`flock`): it ends with its process, however that ends.
"""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from bench.journal import RecordError, remove_unfinished

NAME = ".lock"


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds a run directory, which is made if it is missing.

    Raises:
        RecordError: another process holds it, which is named; or the directory cannot be written.
    """
    path = workdir / NAME
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = _held(path)
    except BlockingIOError as error:
        raise RecordError(
            f"{workdir} is in use by {_holder(path)}; wait for it, end it, or use another --workdir"
        ) from error
    except OSError as error:
        raise RecordError(
            f"cannot write to the run directory {workdir}: {error.strerror}; use another --workdir"
        ) from error
    with file:
        # Who holds it, for whoever comes next.
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {platform.node()}, since {now}\n")
        file.flush()
        remove_unfinished(workdir)  # whoever began them is gone
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _held(path: Path) -> TextIO:
    """The file at `path`, locked. BlockingIOError if another process has it."""
    while True:
        file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed it meanwhile, and another process made it anew.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def check_free(workdir: Path) -> None:
    """Says early that a run directory is in use; makes nothing.

    Raises:
        RecordError: another process holds it.
    """
    if (workdir / NAME).exists():
        with locked(workdir):
            pass


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[:200].strip() or "another process"
    except OSError:
        return "another process"
