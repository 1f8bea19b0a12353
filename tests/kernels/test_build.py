"""The compiler's part: found, called once, its failures said."""

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.kernels import build as building
from bench.kernels.build import Build
from bench.ops import native


def compiler(folder: Path, does: str) -> list[str]:
    """A stand-in that says its version and then does something else."""
    script = folder / "compiler"
    script.write_text(
        f"#!{sys.executable}\nimport sys, pathlib\nif '--version' in sys.argv:\n"
        f"    print('stand-in 1')\n    sys.exit()\n"
        f"pathlib.Path({str(folder / 'calls')!r}).open('a').write('.')\n{does}\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return [str(script)]


WRITES = "pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_text('library')"


def test_compiled_once_and_kept(tmp_path: Path) -> None:
    command = compiler(tmp_path, WRITES)
    first = Build(tmp_path / "kept", command).path()
    again = Build(tmp_path / "kept", command)
    assert first is not None
    assert first == again.path()
    assert first.read_text() == "library"
    assert (tmp_path / "calls").read_text() == "."
    assert [p.name for p in (tmp_path / "kept").iterdir()] == [f"kernels-{again.key}.so"]


def test_another_processor_is_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = compiler(tmp_path, WRITES)
    here = Build(tmp_path, command)
    monkeypatch.setattr(building.host, "processor", lambda: "another")
    there = Build(tmp_path, command)
    assert here.key != there.key
    assert here.path() != there.path()


def test_without_a_place_to_keep_it(tmp_path: Path) -> None:
    build = Build(None, compiler(tmp_path, WRITES))
    library = build.path()
    assert library is not None
    assert library.exists()


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    build = Build(None)
    assert build.path() is None
    assert build.reason == "no C++ compiler was found"
    assert native.load(build) == build.reason


def test_a_compiler_that_fails(tmp_path: Path) -> None:
    says = "sys.stderr.write('no such header\\nmore'); sys.exit(1)"
    build = Build(tmp_path / "kept", compiler(tmp_path, says))
    assert build.path() is None
    assert build.reason == "stand-in 1 failed: no such header"
    assert not list((tmp_path / "kept").iterdir())


def test_a_compiler_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "SECONDS", 0.2)
    build = Build(tmp_path, compiler(tmp_path, "import time; time.sleep(60)"))
    assert build.path() is None
    assert build.reason == "stand-in 1 took longer than 0 s"


def test_a_process_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    build = Build(tmp_path / "kept", compiler(tmp_path, f"{WRITES}; import time; time.sleep(60)"))
    while not (tmp_path / "kept").exists() or not list((tmp_path / "kept").iterdir()):
        time.sleep(0.001)
    build.abandon()
    assert not list((tmp_path / "kept").iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    build = Build(tmp_path / "file", compiler(tmp_path, WRITES))
    assert build.path() is None
    assert build.reason is not None
    assert "cannot compile into" in build.reason


def test_what_is_no_library_is_not_loaded(tmp_path: Path) -> None:
    reason = native.load(Build(tmp_path, compiler(tmp_path, WRITES)))
    assert reason is not None
    assert reason.startswith("cannot load")


def test_the_source_has_no_warnings(tmp_path: Path) -> None:
    command = building._compiler()
    if building._version(command) is None:
        pytest.skip("no C++ compiler here")
    include = building._include()
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-isystem", str(include)]
    told = subprocess.run([*command, *flags, str(building.SOURCE)], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
