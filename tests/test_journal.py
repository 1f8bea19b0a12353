"""The journal: nothing recorded is lost, and what is damaged is found. Views: whole or not at all."""

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import Journal, RecordError, Results, read_journal, write_file

DRAWN = settings(deadline=None, max_examples=40, database=None)
Event = dict[str, Any]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip
EVENTS = st.lists(
    st.dictionaries(st.text(max_size=8), VALUES, max_size=3).map(lambda e: {"event": "x", **e}),
    max_size=3,
)
THREE: list[Event] = [
    {"event": "run", "time": "2026-01-01", "é": "ü\n"},
    {"event": "train", "seconds": 0.25, "nested": {"a": [1, None]}},
    {"event": "finish", "reason": "completed"},
]


def write(path: Path, *events: Event) -> bytes:
    with Journal(path) as journal:
        journal.append(*events)
    return path.read_bytes()


def one_line(error: pytest.ExceptionInfo[RecordError], *words: object) -> None:
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def raising(code: int) -> Callable[..., Any]:
    def fails(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fails


# Journal


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "journal.jsonl"


@given(EVENTS, EVENTS)
@DRAWN
def test_round_trip(journal: Path, first: list[Event], second: list[Event]) -> None:
    journal.unlink(missing_ok=True)
    write(journal, *first)
    content = write(journal, *second)
    assert list(read_journal(journal)) == first + second
    assert content.count(b"\n") == len(first + second), "a line an event"
    for line in content.splitlines():
        json.loads(line)


def test_each_append_is_on_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    path = tmp_path / "j"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(len(list(read_journal(path)))))
    with Journal(path) as journal:
        for event in THREE:
            journal.append(event)
        journal.append(*THREE)
    assert synced == [1, 2, 3, 6]


def test_numbers_that_json_has_no_word_for_become_none(tmp_path: Path) -> None:
    values = (math.nan, [1.5, math.inf], {"a": -math.inf})
    text = write(tmp_path / "j", {"event": "x", "values": values}).decode()
    assert next(read_journal(tmp_path / "j"))["values"] == [None, [1.5, None], {"a": None}]
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_mappings_of_any_kind_can_be_written(tmp_path: Path) -> None:
    event = {"event": "x", "inner": MappingProxyType({"a": (1, math.nan)})}
    write(tmp_path / "j", event)
    assert list(read_journal(tmp_path / "j")) == [{"event": "x", "inner": {"a": [1, None]}}]


def test_a_journal_is_read_line_by_line(tmp_path: Path) -> None:
    """So that a long run's takes no more memory than its longest line."""
    path = tmp_path / "j"
    content = write(path, *THREE)
    path.write_bytes(content.replace(b"0.25", b"0.26"))
    events = read_journal(path)
    assert next(events) == THREE[0]
    with pytest.raises(RecordError, match="line 2, is damaged"):
        next(events)


def test_a_line_torn_at_any_byte_is_cut_off_and_the_rest_kept(tmp_path: Path) -> None:
    path, added = tmp_path / "j", {"event": "added"}
    content = write(path, *THREE)
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = THREE[: sum(end <= length for end in ends)]
        assert list(read_journal(path)) == whole
        assert path.read_bytes() == content[:length], "reading changes nothing"
        write(path, added)
        assert list(read_journal(path)) == [*whole, added], length


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    content = write(path, *THREE)
    last = len(content) - 1
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if place == last:  # without its end the last line is a torn one
            assert list(read_journal(path)) == THREE[:2]
            continue
        with pytest.raises(RecordError) as caught:
            list(read_journal(path))
        one_line(caught, path, f"line {content[:place].count(10) + 1}, is damaged")
        with pytest.raises(RecordError, match="is damaged"):
            Journal(path)
        assert path.read_bytes() == damaged, "a damaged journal is left as it is"


@given(st.integers(0, 2), st.data())
@DRAWN
def test_lines_cannot_be_changed_by_hand(journal: Path, number: int, data: Any) -> None:
    journal.unlink(missing_ok=True)
    lines = write(journal, *THREE).splitlines(keepends=True)
    text = bytearray(lines[number])
    text[data.draw(st.integers(0, len(text) - 2))] = data.draw(st.integers(0, 255))
    changed = bytes(text) != lines[number]
    journal.write_bytes(b"".join([*lines[:number], bytes(text), *lines[number + 1 :]]))
    if changed:
        with pytest.raises(RecordError, match=f"line {number + 1}, is damaged"):
            list(read_journal(journal))
    else:
        assert list(read_journal(journal)) == THREE


def test_an_empty_journal_is_one(tmp_path: Path) -> None:
    assert write(tmp_path / "j") == b""
    assert list(read_journal(tmp_path / "j")) == []


def test_no_journal_and_no_directory(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        Results.read(tmp_path)
    one_line(caught, tmp_path, "No such file", "is it a run directory?")
    for path in (tmp_path / "missing" / "j", tmp_path):
        with pytest.raises(RecordError) as caught:
            Journal(path)
        one_line(caught, path)


@pytest.mark.parametrize("name", ["open", "fsync", "truncate"])
def test_a_disk_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "j"
    write(path, THREE[0])
    owner = Path if name == "open" else os
    monkeypatch.setattr(owner, name, raising(errno.EROFS))
    with pytest.raises(RecordError) as caught:
        write(path, THREE[1])
    one_line(caught, path, "Read-only file system")


def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line is written, then the disk is full: closing raises nothing else."""
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append(THREE[0])

    class Full:
        name = str(path)
        room = 20

        def write(self, content: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written, self.room = os.write(descriptor, content[: self.room]), 0
            return written

        def fileno(self) -> int:
            return descriptor

    real = journal._file
    descriptor = real.fileno()
    monkeypatch.setattr(journal, "_file", Full())
    with pytest.raises(RecordError) as caught:
        journal.append(THREE[1])
    one_line(caught, path, "No space left")
    real.close()
    assert path.read_bytes().count(b"\n") == 1, "half a line"
    assert list(read_journal(path)) == THREE[:1]
    write(path, THREE[2])
    assert list(read_journal(path)) == [THREE[0], THREE[2]]


def test_a_write_that_takes_only_part_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    file = journal._file

    class Slow:
        name, fileno, close = "j", file.fileno, file.close

        def write(self, content: bytes) -> int:
            return file.write(content[:7])

    monkeypatch.setattr(journal, "_file", Slow())
    journal.append(*THREE)
    journal.close()
    assert list(read_journal(tmp_path / "j")) == THREE


# Views


def test_write_file_replaces(tmp_path: Path) -> None:
    write_file(tmp_path / "view", b"old")
    write_file(tmp_path / "view", b"new")
    assert (tmp_path / "view").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["view"]


@pytest.mark.parametrize("name", ["write_bytes", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "view"
    write_file(path, b"old")
    if name == "write_bytes":

        def half(self: Path, content: bytes) -> None:
            with self.open("wb") as file:
                file.write(content[: len(content) // 2])
            raising(errno.ENOSPC)()

        monkeypatch.setattr(Path, name, half)
    else:
        monkeypatch.setattr(Path, name, raising(errno.ENOSPC))
    with pytest.raises(RecordError) as caught:
        write_file(path, b"new and longer")
    one_line(caught, path, "No space left")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["view"]


def test_a_directory_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "view", tmp_path / "file" / "view"):
        with pytest.raises(RecordError) as caught:
            write_file(path, b"")
        one_line(caught, path)
    # A read-only file system refuses the tidying up as well.
    monkeypatch.setattr(Path, "write_bytes", raising(errno.EROFS))
    monkeypatch.setattr(Path, "unlink", raising(errno.EROFS))
    with pytest.raises(RecordError) as caught:
        write_file(tmp_path / "view", b"")
    one_line(caught, "Read-only file system")
