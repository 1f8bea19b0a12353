"""Compiles `blocks.cc` with the machine's own C++ compiler, once for each processor, and keeps the library.

A wheel could not know the processor; a compiler that is there does. Where there is none, XLA's lowerings
serve. Imports no JAX, so that the compiler may work while JAX is imported.
"""

import atexit
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import host

SOURCE = Path(__file__).with_name("blocks.cc")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")
SECONDS = 300.0  # after which a compiler is given up


class Build:
    """A library that is there, is being compiled, or cannot be had.

    Args:
        directory: where libraries are kept; None keeps it only while the process runs.
        compiler: command to call; by default $CXX or the first that is found, then the `ziglang` package.

    Attributes:
        compiler: its own word for its version, None where there is none.
        key: a hash of all that decides what comes out; None without a compiler.
        reason: why there is no library, once that is known.
    """

    def __init__(self, directory: Path | None, compiler: list[str] | None = None):
        self.reason: str | None = None
        self.key: str | None = None
        self._process: subprocess.Popen | None = None
        command = compiler or _compiler()
        self.compiler = _version(command)
        include = _include()
        if self.compiler is None or include is None:
            self.reason = "no C++ compiler was found" if include else "jaxlib has no headers"
            return
        text = (SOURCE.read_bytes(), FLAGS, self.compiler, _jaxlib(), host.processor())
        self.key = hashlib.sha256(repr(text).encode()).hexdigest()[:16]
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="convoy-"))
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
        self._library = directory / f"kernels-{self.key}.so"
        if not self._library.exists():
            self._start(command, include)

    def _start(self, command: list[str], include: Path) -> None:
        self._partial = self._library.with_suffix(f".{os.getpid()}")
        try:
            self._library.parent.mkdir(parents=True, exist_ok=True)
            self._process = subprocess.Popen(
                [*command, *FLAGS, "-isystem", str(include), str(SOURCE), "-o", str(self._partial)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            atexit.register(self.abandon)
        except OSError as error:
            self.reason = f"cannot compile into {self._library.parent}: {error.strerror}"

    def abandon(self) -> None:
        """The process ends before anybody asked for the library."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._partial.unlink(missing_ok=True)

    def path(self) -> Path | None:
        """The library, waited for; None where there is none, with the `reason`."""
        if self._process is not None:
            self._finish(self._process)
            self._process = None
        return None if self.reason else self._library

    def _finish(self, process: subprocess.Popen) -> None:
        try:
            _, errors = process.communicate(timeout=SECONDS)
            if process.returncode:
                said = errors.decode(errors="replace").strip().splitlines()
                self.reason = f"{self.compiler} failed: {said[0] if said else process.returncode}"
            else:
                self._partial.replace(self._library)  # whole or not there, for other processes
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.reason = f"{self.compiler} took longer than {SECONDS:.0f} s"
        except OSError as error:
            self.reason = f"cannot keep {self._library}: {error.strerror}"
        finally:
            self._partial.unlink(missing_ok=True)


@functools.cache
def start() -> Build:
    """This machine's library in the user's cache, where it stays: it belongs to the installation."""
    return Build(host.cache_dir() / "native")


def abandon() -> None:
    """Ends the compiler, if it is at work: the process is about to end at once."""
    if start.cache_info().currsize:
        start().abandon()


def _compiler() -> list[str]:
    if os.environ.get("CXX"):
        return os.environ["CXX"].split()
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found:
        return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    return []


def _version(command: list[str]) -> str | None:
    """The first line of what the compiler says of itself."""
    try:
        told = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
        return told.stdout.splitlines()[0].strip()
    except (OSError, IndexError, ValueError, subprocess.SubprocessError):
        return None


def _include() -> Path | None:
    """The headers of XLA's foreign function interface, which come with jaxlib."""
    found = importlib.util.find_spec("jaxlib")
    folder = Path(found.origin).parent / "include" if found and found.origin else None
    return folder if folder and (folder / "xla/ffi/api/ffi.h").exists() else None


def _jaxlib() -> str:
    from importlib import metadata

    return f"{metadata.version('jaxlib')} {platform.machine()}"
