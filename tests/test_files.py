import os
from pathlib import Path

import pytest

from bench import files
from bench.errors import CONTROL, brief


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a plain file"):
            files.opened(path)
    with pytest.raises(FileNotFoundError):
        files.opened(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "good").symlink_to("file")
    with files.opened(tmp_path / "good") as file:
        assert (files.length(file), file.read()) == (4, b"1234")


def test_of_what_is_too_long_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    assert files.content(tmp_path / "file", 4) == b"1234"
    with pytest.raises(OSError, match="over 3 bytes"):
        files.content(tmp_path / "file", 3)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("why\nmore"), "why"),
        (ValueError("\n  \nwhy"), "why"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "'a'"),
        (ValueError("a\x1b[2Jb\ud800"), "a?[2Jb?"),
        (ValueError("é" * 300), "é" * 200 + "…"),
    ],
)
def test_brief(error: Exception, words: str) -> None:
    assert brief(error) == words
    assert not CONTROL.search(brief(error))
