"""The command line: what it prints and writes, and its exit codes."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up_runs import DATA, NARROW, noisy, program, sweep, usual, written
from rich.console import Console

from bench import compare
from bench.compare import main
from bench.suite import Benchmark
from tests import made_up_machine
from tests.made_up_machine import Machine
from tests.report.made_up_sweep import RUN, Event


def command(path: Path, *every: list[Event], flags: tuple[str, ...] = ()) -> int:
    runs = [str(written(path / f"run{n}", events)) for n, events in enumerate(every)]
    return main([*runs, *flags])


def test_it_says_what_differs_and_what_is_slower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = usual(1.2, seed=2, software={**RUN["software"], "jax": "0.11.2"})
    assert command(tmp_path, usual(), second) == 0
    told = capsys.readouterr().out
    assert re.search(r"^jax +0\.10\.2 +0\.11\.2$", told, re.M)
    assert re.search(
        r"^w +2 +3\.00 +3\.60 +1\.20 +\[1\.1\d, 1\.2\d\] +slower +1\.\d\d +40 / 40$", told, re.M
    )
    assert "B against A: all programs: slower, 1.20 [1.1" in told
    assert "programs: 2 slower." in told


@pytest.mark.parametrize(
    ("factor", "limit", "code"),
    [(1.0, "5%", 0), (1.03, "5%", 0), (1.2, "5%", 1), (1.2, "25%", 0), (0.8, "5%", 0), (1.2, "0.5%", 1)],
)  # fmt: skip
def test_a_slowdown_over_the_limit_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, limit: str, code: int
) -> None:
    flags = (f"--fail_if_slower={limit}",)
    assert command(tmp_path, usual(), usual(factor, seed=2), flags=flags) == code
    said = re.search(r"Slower by more than .*: (.*)\.$", capsys.readouterr().out, re.M)
    assert said is not None
    assert (said[1] == "nothing") == (code == 0)


def test_one_program_that_is_slower_is_enough(tmp_path: Path) -> None:
    narrow = program("n", NARROW, noisy(1.3e-3, seed=5))
    flags = ("--fail_if_slower=5%",)
    usual_again = usual(seed=3)
    start = next(n for n, e in enumerate(usual_again) if e.get("plan", {}).get("id") == "w")
    mixed = [*sweep(narrow, ended=False), *usual_again[start:]]
    assert command(tmp_path, usual(), usual(seed=2), usual(seed=4), flags=flags) == 0
    assert command(tmp_path, usual(), usual(seed=2), mixed, flags=flags) == 1


def test_of_many_that_are_asked_at_once_each_must_be_surer(tmp_path: Path) -> None:
    """What is slower by itself is not when it is the worst of a hundred."""
    first, second = (
        sweep(program("n", NARROW, noisy(ms * 1e-3, n=14, spread=0.02, seed=seed)))
        for ms, seed in ((1, 1), (1.09, 7))
    )
    alone = command(tmp_path, first, second, flags=("--fail_if_slower=5%",))
    beside = [first, second, *([usual(seed=9)] * 24)]
    assert (alone, command(tmp_path, *beside, flags=("--fail_if_slower=5%",))) == (1, 0)


def test_repeats_are_given_one_side_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # paths are as long as they are
    runs = [usual(f, seed=n) for n, f in enumerate((1.0, 1.01, 0.99, 1.2, 1.21, 1.19))]
    assert command(Path(), *runs, flags=("--repeats=3", "--fail_if_slower=5%")) == 1
    assert len(re.findall(r"^[AB] +\S*run\d", capsys.readouterr().out, re.M)) == 6


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_a_terminal(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int,
) -> None:
    monkeypatch.chdir(tmp_path)  # paths are as long as they are
    monkeypatch.setattr(compare, "Console", lambda **_: Console(width=width))
    suite = Benchmark(entries=("tiny",), seconds=300.0)
    sweeps = [usual(), usual(2.0, hardware={"cpu": "a processor of a long name " * 3})]
    machines = [made_up_machine.events(suite, Machine(step_s=s)) for s in (1e-4, 2e-4)]
    for pair in (sweeps, machines):
        assert command(Path(), *pair) == 0
        tables, _, _ = capsys.readouterr().out.rpartition("\nB against A: ")
        assert max(map(len, tables.splitlines())) <= width
        assert "…" not in tables, "nothing is cut off"


class Page(HTMLParser):
    """Tags and words of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;\x1b[31m'


def evil() -> list[Event]:
    """Whatever text a journal holds is of somebody's making."""
    software = {**RUN["software"], "jax": EVIL, EVIL: EVIL}
    about = {"hardware": {"cpu": EVIL}, "software": software, "time": EVIL}
    data = {**DATA, "name": EVIL}
    return sweep(
        program(EVIL, NARROW, noisy(2e-3), lowerings={"conv": EVIL}, strategy=EVIL),
        **about,
        data=data,
    )


def test_nothing_in_a_page_is_anybodys_but_ours(tmp_path: Path) -> None:
    out = tmp_path / "compare.html"
    assert command(tmp_path, usual(), evil(), flags=(f"--out={out}",)) == 0
    text = out.read_text()
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "thead",
        "tbody", "tr", "th", "td", "svg", "rect", "line", "text", "g", "circle",
    }  # fmt: skip
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not any(name.startswith("on") or name in ("src", "href") for name in attributes)
    assert "\x1b" not in text
    assert any("<script>alert(1)</script>" in words for words in page.words), "told, as text"
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_a_picture_of_every_ratio(tmp_path: Path) -> None:
    out = tmp_path / "compare.html"
    assert command(tmp_path, usual(), usual(1.2), usual(), flags=(f"--out={out}",)) == 0
    page = Page(out.read_text())
    assert sum(tag == "circle" for tag, _ in page.tags) == 2 * 3  # two sides: the whole, n and w
    kinds = [attrs["class"] for tag, attrs in page.tags if tag == "g"]
    assert kinds == ["slower"] * 3 + ["other"] * 3
    places = [float(attrs["cx"] or "") for tag, attrs in page.tags if tag == "circle"]
    assert min(places[:3]) > max(places[3:]) > 340


def test_markdown(tmp_path: Path) -> None:
    out = tmp_path / "compare.md"
    assert command(tmp_path, usual(), evil(), flags=(f"--out={out}",)) == 0
    text = out.read_text()
    assert text.startswith("# Convoy: runs compared\n")
    assert "## B against A: a step of one trial, and the whole\n" in text
    assert "<script>" not in text.replace("\\<", "")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hardware": 3}, "holds what no sweep records"),
        ({"data": {**DATA, "train": "many"}}, "holds what no sweep records"),
        ({"data": {**DATA, "preprocessing": 4}}, "holds what no sweep records"),
        ({"schema": 99}, "is of schema 99, this Convoy knows up to"),
    ],
)
def test_a_forged_start_is_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: Event, words: str
) -> None:
    assert command(tmp_path, usual(), usual(**changed)) == 2
    assert words in told(capsys)


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        ("train", {"seconds": -1.0}),
        ("train", {"seconds": 0.0}),
        ("train", {"seconds": 1e300}),
        ("train", {"seconds": None}),
        ("peaks", {"bytes_per_s": "fast"}),
        ("peaks", {"bytes_per_s": -1.0}),
        ("trial", {"settings": {"model": "none", "batch_size": 1}}),
        ("program", {"compile_s": -3.0}),
        ("finish", {"wall_s": "x"}),
    ],
)
def test_forged_measurements_are_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: str, changed: Event
) -> None:
    events = usual()
    last = max(n for n, e in enumerate(events) if e["event"] == event)
    events[last] = {**events[last], **changed}
    assert command(tmp_path, usual(), events) == 2
    told(capsys)


@pytest.mark.parametrize(
    "changed",
    [{"steps": 0}, {"lanes": 0}, {"seconds": {}}, {"seconds": {"train": [0.0], "evaluate": [1.0]}},
     {"compile_s": "x"}, {"joules": {"train": -1.0, "evaluate": None}}],
)  # fmt: skip
def test_forged_points_are_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: Event
) -> None:
    events = made_up_machine.events(Benchmark(entries=("tiny",), seconds=30.0), Machine())
    assert command(tmp_path, events, [events[0], {**events[1], **changed}]) == 2
    told(capsys)


def test_what_is_to_be_mended_is_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, usual()) == 2
    assert "1 runs make no sides of 1" in told(capsys)
    assert command(tmp_path, usual(), usual(), usual(), flags=("--repeats=2",)) == 2
    assert "3 runs make no sides of 2" in told(capsys)
    assert command(tmp_path, usual(), usual(), flags=("--repeats=0",)) == 2
    assert "make no sides of 0" in told(capsys)
    assert command(tmp_path, usual(), usual(), flags=("--out=x.pdf",)) == 2
    assert "what is written is .md or .html" in told(capsys)
    assert main([str(tmp_path / "run0"), str(tmp_path / "none")]) == 2
    assert "is it a run directory?" in told(capsys)
    flags = (f"--out={tmp_path}/none/x.md",)
    assert command(tmp_path, usual(), usual(), flags=flags) == 2
    assert "cannot write" in told(capsys)


@pytest.mark.parametrize("text", ["5", "five%", "-5%", "5%%", "", "1e3%", "1000000%"])
def test_a_limit_is_a_percentage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(tmp_path, usual(), usual(), flags=(f"--fail_if_slower={text}",))
    assert ended.value.code == 2
    assert "is no percentage; write it like 5%" in capsys.readouterr().err


def test_no_jax_is_imported() -> None:
    code = "import sys, bench.compare; sys.exit(bool({'jax', 'flax', 'optax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
