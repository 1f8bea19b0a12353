"""Whatever lies in a file, Convoy reads it or says in one line why not; and the harness would notice."""

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bench.data import folder, load, pixels
from bench.errors import DataError
from tests.fuzz import harness, pictures, tables, trees
from tests.fuzz.harness import MisreadError, attempt
from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
@settings(deadline=None, max_examples=25, database=None, phases=(Phase.explicit, Phase.generate))
@given(number=st.integers(10**6, 2**32))
def test_only_our_own_errors_come_out(target: Target, number: int) -> None:
    """`python -m tests.fuzz --target=… --first=NUMBER --inputs=1` makes the same input again."""
    attempt(target, number)


@pytest.mark.slow
def test_fifty_thousand_inputs(tmp_path: Path) -> None:
    """In a process without JAX, of which the memory can be told."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs=50000", f"--keep={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    counts = {
        name: list(map(int, numbers.split("│")[1:5]))
        for name, numbers in re.findall(r"│ (\S+(?: \S+)?) +((?:│ \d+ +){4})", done.stdout)
    }
    assert sorted(counts) == sorted([*(target.name for target in TARGETS), "all"])
    assert counts["all"][0] == 50_000
    for name, (inputs, accepted, refused, other) in counts.items():
        assert inputs == accepted + refused + other
        assert accepted > inputs // 50, f"too little of what {name} was given came so far"


def test_the_valid_files_are_valid(tmp_path: Path) -> None:
    """Or the damage to them would show nothing."""
    for kind in pictures.FORMATS:
        for number, content in enumerate(pictures.valid(kind)):
            (tmp_path / "picture").write_bytes(content)
            if b"Pf" in content[:2] or (kind == "TIFF" and number == 4):
                with pytest.raises(DataError, match="float pixels"):
                    pixels.picture(tmp_path / "picture", None, "keep")
            else:
                assert pixels.picture(tmp_path / "picture", None, "keep").size
    for name, content in ((".tar", trees.tar()), (".zip", trees.packed())):
        (tmp_path / f"a{name}").write_bytes(content)
        assert len(folder.load(tmp_path / f"a{name}", 0, "keep").labels) >= 4
    (tmp_path / "a.npz").write_bytes(tables.valid_npz())
    assert load(f"npz:{tmp_path / 'a.npz'}").classes == 3


def test_an_input_is_known_by_its_number(tmp_path: Path) -> None:
    for target in TARGETS:
        for place in (tmp_path / target.name / "1", tmp_path / target.name / "2"):
            place.mkdir(parents=True)
            target.write(Random(7), place)
        one, two = (
            {
                p.relative_to(place).as_posix(): p.read_bytes()
                for p in sorted(place.rglob("*"))
                if p.is_file()
            }
            for place in sorted((tmp_path / target.name).iterdir())
        )
        assert one == two


class Wrong:
    """Readers that do what none may."""

    @staticmethod
    def raises(place: Path) -> None:
        raise ValueError("why")

    @staticmethod
    def ends(place: Path) -> None:
        sys.exit("why")

    @staticmethod
    def two_lines(place: Path) -> None:
        raise DataError(f"{place}:\nwhy")

    @staticmethod
    def nameless(place: Path) -> None:
        raise DataError("why")

    @staticmethod
    def hangs(place: Path) -> None:
        try:
            while True:
                pass
        except Exception:
            raise DataError(str(place)) from None

    @staticmethod
    def leaves(place: Path) -> None:
        (place / "../../../../etc/passwd").resolve().read_bytes()

    @staticmethod
    def writes(place: Path) -> None:
        (place / "file").write_bytes(b"")

    @staticmethod
    def unpickles(place: Path) -> None:
        pickle.loads(pickle.dumps(tables.Trap()))

    @staticmethod
    def starts(place: Path) -> None:
        subprocess.run(["true"], check=True)

    @staticmethod
    def allocates(place: Path) -> None:
        """The peak is made up: a test of memory need not take it."""


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (Wrong.raises, "ValueError: why"),
        (Wrong.ends, "SystemExit: why"),
        (Wrong.two_lines, "not fit to be printed"),
        (Wrong.nameless, "names no file"),
        (Wrong.hangs, "took over"),
        (Wrong.leaves, "opened '/etc/passwd'"),
        (Wrong.writes, "opened"),
        (Wrong.unpickles, "pickle.find_class"),
        (Wrong.starts, "subprocess.Popen"),
        (Wrong.allocates, "bytes of memory"),
    ],
)
def test_what_no_reader_may_do_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], words: str
) -> None:
    monkeypatch.setattr(harness, "DEADLINE_S", 0.1 if read is Wrong.hangs else 20)
    peaks = iter((0, 0 if read is not Wrong.allocates else 2**31, 2**31))
    monkeypatch.setattr(harness, "_peak", lambda: next(peaks))
    target = Target("wrong", lambda random, place: (place / "in").write_bytes(b"1") and None, read)
    with pytest.raises(MisreadError, match=f"wrong, input 5: .*{re.escape(words)}"):
        attempt(target, 5, tmp_path)
    assert (tmp_path / "wrong-5" / "in").read_bytes() == b"1"


def test_a_good_reader_is_let_be() -> None:
    def write(random: Random, place: Path) -> None:
        (place / "in").write_bytes(random.randbytes(3))

    assert (
        attempt(Target("good", write, lambda place: (place / "in").read_bytes()), 0) == "accepted"
    )
