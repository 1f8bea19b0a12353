"""Checkpoints: the newest whole one is there whatever is killed, and a bad disk ends nothing."""

import contextlib
import errno
import itertools
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import checkpoint_files as files
from bench.checkpoint import Checkpoints
from bench.journal import RecordError
from tests.checkpoints import Made, is_numbered, names, numbered, save


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "checkpoints")


def test_none_yet(tmp_path: Path) -> None:
    told: list[str] = []
    checkpoints = Checkpoints(tmp_path / "none", say=told.append)
    assert checkpoints.newest() is None
    assert checkpoints.wait()
    assert not checkpoints.busy
    assert not told
    assert not names(tmp_path), "only a save makes the folder"


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_are_kept(tmp_path: Path, keep: int) -> None:
    (tmp_path / "notes.txt").touch()
    checkpoints = Checkpoints(tmp_path, keep)
    for k in range(1, 6):
        assert save(checkpoints, k)
    assert names(tmp_path) == [f"{k:08}" for k in range(6 - keep, 6)] + ["notes.txt"]
    assert is_numbered(checkpoints.newest(), 5)


def test_it_is_written_beside_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, write = threading.Event(), threading.Event(), files.write

    def held(*arguments: Any) -> None:
        begun.set()
        assert go.wait(30)
        write(*arguments)

    monkeypatch.setattr(files, "write", held)
    checkpoints = Checkpoints(tmp_path)
    about: dict[str, Any] = {"k": 7}
    checkpoints.save(about, numbered(7))
    about["k"] = 8  # the caller's again
    assert begun.wait(30)
    assert checkpoints.busy
    assert Checkpoints(tmp_path, say=lambda _: None).newest() is None
    go.set()
    assert checkpoints.wait()
    assert not checkpoints.busy
    assert is_numbered(checkpoints.newest(), 7)


def test_nothing_is_printed_and_nothing_heavy_imported_before_its_time(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from bench.checkpoint import Checkpoints\n"
        "heavy = {'jax', 'orbax', 'tensorstore'} & set(sys.modules); assert not heavy, heavy\n"
        "import numpy as np; c = Checkpoints(Path(sys.argv[1]))\n"
        "c.save({}, {'p': {'w': np.arange(3)}}); assert c.wait(); assert c.newest().number == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Whenever it is killed


class KilledError(BaseException):
    """No cleanup catches it, as if the process were gone."""


STEPS = [(files, "commit"), (files, "_contents"), (files, "_flush"), (Path, "write_bytes"), (Path, "mkdir"),
         (Path, "replace"), (Path, "unlink"), (shutil, "rmtree")]  # fmt: skip


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name"), STEPS)
def test_stopped_at_any_step(
    made: Made, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool
) -> None:
    """At the first, second, fourth, … call of each step of the third save, until it comes through."""
    original = getattr(owner, name)
    for stop in (2**i for i in itertools.count()):
        calls = itertools.count(1)

        def step(*arguments: Any, calls: Any = calls, stop: int = stop, **options: Any) -> Any:
            last = next(calls) == stop
            if last and not after:
                raise KilledError
            result = original(*arguments, **options)
            if last:
                raise KilledError
            return result

        held = files.described({"k": 3}, numbered(3))
        killed = False
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, step)
            try:
                made.checkpoints._write(*held)
            except KilledError:
                killed = True
        found = Checkpoints(made.folder, say=made.told.append).newest()
        named = bool(found and found.about["k"] == 3)
        assert is_numbered(found, 3 if named else 2)
        assert named or killed
        if not killed:
            break
        shutil.rmtree(made.folder)
        made = Made(made.folder)
    assert all("was not finished" in line for line in made.told)
    assert stop > 1, "the step was never taken"


def write_until_killed(folder: Path, done: Connection) -> None:
    checkpoints = Checkpoints(folder)
    saved = checkpoints.newest()
    for k in itertools.count(saved.about["k"] + 1 if saved else 1):
        assert save(checkpoints, k)
        done.send(k)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Ten real processes, one after the other; each goes on from what the one before left."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "orbax.checkpoint", "tensorstore"])
    moments, told, safe = random.Random(5), [], 0
    for _ in range(10):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=write_until_killed, args=(tmp_path, sender), daemon=True)
        process.start()
        sender.close()
        assert receiver.poll(60)
        process.join(timeout=moments.uniform(0, 0.1))
        process.kill()
        process.join()
        try:
            while True:
                safe = receiver.recv()
        except EOFError:
            receiver.close()
        saved = Checkpoints(tmp_path, say=told.append).newest()
        assert saved is not None
        assert saved.about["k"] in (safe, safe + 1), "what was waited for is not lost"
        assert is_numbered(saved, saved.about["k"])
    assert all("was not finished" in line for line in told)


# The disk


def fails_once_told(made: Made, word: str, k: int = 3) -> None:
    """Two saves in vain, told once; what was there stays."""
    before = names(made.folder)
    made.told.clear()
    assert not save(made.checkpoints, k)
    assert not save(made.checkpoints, k)
    made.one_line("cannot write a checkpoint in", str(made.folder), word)
    assert names(made.folder) == before
    assert is_numbered(made.checkpoints.newest(), 2)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize(("owner", "name"), STEPS[:6])
def test_a_disk_that_fails_at_any_step(
    made: Made, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, code: int
) -> None:
    (made.folder / "00000099").mkdir()  # a leftover stays until a save has succeeded

    def fails(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        assert not save(made.checkpoints, 3)
        assert not save(made.checkpoints, 3)
    made.one_line("cannot write a checkpoint", os.strerror(code), "going on without")
    assert names(made.folder) == ["00000001", "00000002", "00000099"]
    assert save(made.checkpoints, 4)
    assert names(made.folder) == ["00000002", "00000100"]
    assert is_numbered(made.checkpoints.newest(), 4)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        assert not save(made.checkpoints, 5)
    assert len(made.told) == 2, "told again, after it had worked again"


def test_what_cannot_be_deleted_fails_no_save(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "unlink", fails)
    assert save(made.checkpoints, 3)
    assert is_numbered(made.checkpoints.newest(), 3)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    told: list[str] = []
    checkpoints = Checkpoints(tmp_path / "checkpoints", say=told.append)
    assert not save(checkpoints, 1)
    assert not save(checkpoints, 2)
    assert len(told) == 1
    assert "File exists" in told[0]
    with pytest.raises(RecordError, match=r"cannot read .*: Not a directory"):
        checkpoints.newest()


def test_orbax_itself_fails(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    """Where files may be as large as the second checkpoint's, and the third is larger."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    made.told.clear()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        for _ in range(2):
            made.checkpoints.save({}, {"p": {"w": np.ones(100_000)}})
            assert not made.checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    made.one_line("cannot write a checkpoint in", "File too large; going on without")
    assert not caplog.records, "one line to the user is enough"
    assert names(made.folder) == ["00000001", "00000002"]
    assert save(made.checkpoints, 3)
    assert is_numbered(made.checkpoints.newest(), 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(made: Made) -> None:
    made.folder.chmod(0o500)
    try:
        fails_once_told(made, "Permission denied")
    finally:
        made.folder.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    made = Made(small_disk / "checkpoints")
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    fails_once_told(made, "No space left on device")
    os.truncate(ballast, ballast.stat().st_size - 70_000)
    fails = Checkpoints(made.folder, say=made.told.append)
    fails.save({}, {"p": {"w": np.ones(100_000)}})  # some of it fits
    assert not fails.wait()
    assert names(made.folder) == ["00000001", "00000002"]
    ballast.unlink()
    assert save(made.checkpoints, 4)
    assert is_numbered(made.checkpoints.newest(), 4)
