"""A host without memory for what is beside training: no checkpoint then, and one clear line."""

import io

import pytest

from bench import checkpoint_files as files
from bench import snapshot
from bench.checkpoint import Checkpoints
from bench.directory import RunDirectory
from bench.errors import DeviceError
from bench.keeper import Keeper
from tests.checkpoints import Made, is_numbered
from tests.resumed import books, cache, sweep  # noqa: F401

WORDS = "Unable to allocate 9. GiB"


def fails(monkeypatch, owner, name, calls):
    """As if the numbered calls of a function asked for more memory than there is."""
    function, number = getattr(owner, name), iter(range(1, 1000))

    def called(*given):
        if next(number) in calls:
            raise MemoryError(WORDS)
        return function(*given)

    monkeypatch.setattr(owner, name, called)


def test_a_checkpoint_that_does_not_fit_is_left_out(tmp_path, monkeypatch):
    sweep(tmp_path / "whole")
    fails(monkeypatch, snapshot, "take", {1, 2})
    said = io.StringIO()
    job, _ = sweep(tmp_path / "short", said=said)
    assert job.reason == "completed"
    assert books(tmp_path / "short") == books(tmp_path / "whole")
    (line,) = (line for line in said.getvalue().splitlines() if "cannot write" in line)
    assert WORDS in line
    assert "going on without" in line


def test_elsewhere_it_ends_in_one_line_and_goes_on(tmp_path, monkeypatch):
    sweep(tmp_path / "whole")
    fails(monkeypatch, RunDirectory, "note", {9})
    with pytest.raises(DeviceError, match="the same command goes on") as caught:
        sweep(tmp_path / "short")
    assert WORDS in str(caught.value)
    assert "\n" not in str(caught.value)
    sweep(tmp_path / "short")
    assert books(tmp_path / "short") == books(tmp_path / "whole")


def test_a_checkpoint_that_does_not_fit_is_not_damaged(tmp_path, monkeypatch):
    made = Made(tmp_path / "checkpoints")
    with monkeypatch.context() as patch:
        fails(patch, files, "_restored", {1})
        with pytest.raises(MemoryError):
            made.checkpoints.newest()
    assert is_numbered(made.checkpoints.newest(), 2)


def test_its_thread_is_there_before_memory_is_short(tmp_path, monkeypatch):
    """Python waits for ever for a thread that has no memory to begin."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    written = []
    monkeypatch.setattr("threading.Thread.start", None)
    monkeypatch.setattr(files, "write", lambda folder, *_: written.append(folder.name))
    checkpoints.save({}, {})
    assert checkpoints.wait()
    assert written == ["00000001"]


def test_parameters_that_cannot_be_read_are_read_again_with_fewer_lanes(tmp_path, monkeypatch):
    sweep(tmp_path / "whole", lanes=4)
    fails(monkeypatch, Keeper, "epoch_ended", {3})
    said = io.StringIO()
    sweep(tmp_path / "short", lanes=4, said=said)
    assert "goes on with 2 lanes" in said.getvalue()
    assert books(tmp_path / "short") == books(tmp_path / "whole")
