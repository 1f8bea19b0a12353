"""A disk that is full or read-only, a directory in use: one clear line, and nothing recorded harmed."""

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.journal import Journal
from bench.lock import NAME, locked
from bench.options import Options
from bench.record import RecordError, Results
from bench.run import Run
from tests.resumed import books, settings

ROOT = Path(__file__).parents[1]


def sweep(workdir, said=None):
    options = Options(
        workdir, lanes=2, devices=2, keep="last", checkpoint_every=0.0, cache_dir=None
    )
    space = {"learning_rate": (1e-3, 3e-3, 1e-2)}
    return Run(settings(space), options, Console(file=said or io.StringIO(), width=500)).train()


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of `size` bytes at `path`."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("only root may mount a small disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(path):
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass


def test_a_full_disk_ends_the_run_and_it_goes_on_when_there_is_room(tmp_path):
    """For real: the journal, the checkpoints, and then the views find no room."""
    sweep(tmp_path / "whole")
    with small_disk(tmp_path / "disk", 1 << 21) as disk:
        filler, append, writes = disk / "filler", Journal.append, [0]

        def fills(self, *events):
            writes[0] += 1
            if writes[0] >= 8:  # again and again: old checkpoints that go make room
                fill(filler)
            append(self, *events)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "append", fills)
            with pytest.raises(RecordError) as caught:
                sweep(disk / "run")
        line = str(caught.value)
        assert "No space left on device" in line
        assert "\n" not in line
        recorded = Results.read(disk / "run")
        assert recorded.trials
        filler.unlink()
        sweep(disk / "run")
        assert books(disk / "run") == books(tmp_path / "whole")


def test_a_sweep_goes_on_without_checkpoints_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sweep(tmp_path / "whole")
    monkeypatch.setattr("bench.checkpoint_files.commit", full)
    said = io.StringIO()
    sweep(tmp_path / "run", said)
    assert said.getvalue().count("No space left on device") == 1
    assert books(tmp_path / "run") == books(tmp_path / "whole")


@pytest.mark.parametrize("command", ["bench.main", "bench.report"])
def test_a_read_only_run_directory(tmp_path, command):
    """A finished run still shows its report; an unfinished one says what is in the way."""
    workdir = tmp_path / "disk" / "run"
    with small_disk(tmp_path / "disk", 1 << 23) as disk:
        one = ("--config=configs/sweep.py:smoke", f"--workdir={workdir}", "--axis=optimizer=sgd")
        train = [sys.executable, "-m", "bench.main", *one, "--axis=batch_size=32"]
        how = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 300, "check": False}
        assert subprocess.run(train, **how).returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        if command == "bench.report":
            done = subprocess.run([sys.executable, "-m", command, str(workdir)], **how)
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            assert "Read-only file system" in done.stderr
            return
        done = subprocess.run(train, **how)
        assert done.returncode == 0, done.stderr
        assert "its files stay as they are: cannot write to the run directory" in done.stdout
        done = subprocess.run([*train, "--axis=learning_rate=(0.1, 0.2)"], **how)
        assert done.returncode == 2
        grown = subprocess.run([*train, "--axis=seed=(0, 1)"], **how)
        assert grown.returncode == 2
        assert grown.stderr.count("\n") == 1
        assert "Read-only file system" in grown.stderr


def test_two_processes_cannot_share_a_run_directory(tmp_path):
    holds = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bench.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", holds, str(tmp_path / "run")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RecordError) as caught:
            sweep(tmp_path / "run")
        assert f"is in use by process {holder.pid} on " in str(caught.value)
        assert "\n" not in str(caught.value)
        holder.kill()  # the lock ends with its holder
        holder.wait()
    assert (tmp_path / "run" / NAME).exists()
    with locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / NAME).exists()


def test_a_lock_that_is_released_while_another_waits_is_not_held_twice(tmp_path, monkeypatch):
    """The file was removed and made anew between opening and locking it: the new one is locked."""
    import fcntl

    flock, calls = fcntl.flock, []

    def slow(file, how):
        if not calls:
            (tmp_path / NAME).unlink()
        calls.append(file)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    with locked(tmp_path):
        assert len(calls) == 2
        assert os.path.samestat(os.fstat(calls[1].fileno()), (tmp_path / NAME).stat())
        with pytest.raises(RecordError, match="is in use by process"), locked(tmp_path):
            pass
