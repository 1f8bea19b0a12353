"""The hardware benchmark's points: what is timed, what memory ends, and a real one from start to report."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

from bench import hardware, scaling
from bench.energy import Meter
from bench.errors import ConfigError
from bench.journal import Journal, read_journal
from bench.memory import OutOfMemoryError
from bench.options import Options
from bench.points import Measured
from bench.report.__main__ import main as report
from bench.scaling import Scaling, pictures
from bench.schedule import LEAST, Ask
from bench.suite import ENTRIES, Benchmark

TINY = Benchmark(entries=("tiny",), seconds=60.0, lanes=2, batch=64)


class Clock:
    """Stands still but when it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Joules:
    """A counter that goes on by 10 at each reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scaling]:
    """A benchmark of programs that compile in 2 s and take 2 ms to train a step, 0.8 ms to evaluate one."""
    clock, opened, journals = Clock(), [], ExitStack()

    def make(
        fails: Callable[[int, int], BaseException | None] = lambda *_: None,
        meter: Meter | None = None,
        benchmark: Benchmark = TINY,
        free: int = 1 << 40,
    ) -> Scaling:
        def took(seconds: float) -> float:
            clock.now += seconds
            return seconds

        def program_of(
            plan: Any, trial: Any, data: Any, dtype: str, free: float, given: Clock
        ) -> Any:
            assert (dtype, given) == ("float32", clock)
            assert plan.lanes % data.mesh.shape["lanes"] == 0
            error = fails(plan.microbatch, plan.lanes)

            def train() -> dict[str, float]:
                if error and not isinstance(error, OutOfMemoryError):
                    raise error
                return {"seconds": took(0.002 * plan.steps)}

            def compile_() -> None:
                took(2.0)
                found.error = error if isinstance(error, OutOfMemoryError) else None

            ready = SimpleNamespace(
                compile_s=2.0, peak_bytes=1234, evaluate=lambda: ({}, took(0.0008 * plan.steps))
            )
            found = SimpleNamespace(
                compile=compile_,
                error=None,
                lanes=None if isinstance(error, OutOfMemoryError) else ready,
                ready=ready,
                fill=lambda: opened.append(plan),
                train=train,
                close=opened.clear,
            )
            return found

        monkeypatch.setattr(scaling, "program_of", program_of)
        return Scaling(
            benchmark,
            "float32",
            "auto",
            jax.devices()[:2],
            journals.enter_context(Journal(tmp_path / "journal.jsonl")),
            Measured(),
            meter or Meter(),
            clock,
            lambda *_: free,
        )

    with journals:
        yield make
    assert not opened, "the devices' memory is given back"


def run(loop: Scaling) -> Measured:
    ended: list[str] = []
    loop.run(lambda _: None, ended.append)
    assert ended == list(loop.benchmark.entries)
    written = Measured()
    for event in read_journal(Path(loop.journal._file.name)):
        written.add(event)
    assert (written.points, written.skips) == (loop.measured.points, loop.measured.skips)
    return loop.measured


def test_a_point_says_what_it_took(made: Callable[..., Scaling]) -> None:
    measured = run(made())
    point = measured.points["tiny", 8, 2]
    assert (point.devices, point.strategy, point.compile_s, point.peak_bytes) == (
        2,
        "map",
        2.0,
        1234,
    )
    train, evaluate = 0.002 * point.steps, 0.0008 * point.steps
    assert point.seconds == {"train": [train] * LEAST, "evaluate": [evaluate] * LEAST}
    # The warm-ups are in the point's time, and in no rate.
    assert point.wall_s == pytest.approx(2.0 + (LEAST + 1) * (train + evaluate))
    assert point.ms("train").median == pytest.approx(2.0)
    assert point.joules == {"train": None, "evaluate": None}
    assert (point.parameters, point.flops) == (2_314, 13_632)


def test_joules_are_of_the_measured_dispatches(made: Callable[..., Scaling]) -> None:
    point = run(made(meter=Meter("NVML", Joules()))).points["tiny", 8, 1]
    assert point.joules == {"train": 10.0, "evaluate": 10.0}
    assert point.joules_per_example("train") == pytest.approx(10 / (LEAST * point.steps * 8))


def test_a_counter_that_stands_still_tells_nothing(made: Callable[..., Scaling]) -> None:
    assert run(made(meter=Meter("NVML", lambda: 5.0))).points["tiny", 8, 1].joules["train"] is None


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (OutOfMemoryError(300, 200), 300),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."), None),
    ],
)
def test_memory_ends_a_curve_and_the_others_go_on(
    made: Callable[..., Scaling], error: Exception, needed: int | None
) -> None:
    """One lane holds 32 examples, two hold 16 each."""
    long = replace(TINY, seconds=600.0)
    measured = run(made(lambda batch, lanes: error if batch * lanes > 32 else None, benchmark=long))
    assert set(measured.points) == {
        ("tiny", b, k) for b, k in [(8, 1), (8, 2), (16, 1), (16, 2), (32, 1)]
    }
    assert {(s.batch, s.lanes, s.why, s.needed) for s in measured.skips} == {
        (64, 1, "memory", needed),
        (32, 2, "memory", needed),
    }
    assert all(skip.wall_s >= 2.0 for skip in measured.skips)


def test_any_other_error_is_not_hidden(made: Callable[..., Scaling]) -> None:
    broken = jax.errors.JaxRuntimeError("INTERNAL: it is broken")
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        run(made(lambda *_: broken))


@pytest.mark.parametrize(("free", "needed"), [(1000, 4 * 64 * 8), (18_000, 2 * 4 * 2_314)])
def test_what_cannot_fit_is_not_compiled(
    made: Callable[..., Scaling], free: int, needed: int
) -> None:
    """Pictures, of which there are four copies, or parameters and their gradients."""

    def never(*_: int) -> None:
        raise AssertionError("it was compiled")

    measured = run(made(never, free=free))
    assert not measured.points
    assert min(skip.needed for skip in measured.skips) == needed
    assert {(skip.why, skip.available) for skip in measured.skips} == {("memory", free)}


def test_where_memory_is_short_dispatches_are(made: Callable[..., Scaling]) -> None:
    plenty = run(made()).points["tiny", 8, 1]
    assert plenty.steps > 1
    scarce = made(free=20_000)
    scarce.measured = Measured()
    scarce.run(lambda _: None, lambda _: None)
    assert scarce.measured.points["tiny", 8, 1].steps == 1


@pytest.mark.parametrize("examples", [8, 511, 512, 513, 2000])
def test_an_evaluation_sees_every_picture_once(examples: int) -> None:
    dataset = pictures(ENTRIES["small"], examples)
    assert (len(dataset.train), dataset.evaluated) == (examples, examples)
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.train.images.dtype == np.uint8
    assert (pictures(ENTRIES["small"], examples).train.images == dataset.train.images).all()


# The real thing

SHORT = Benchmark(entries=("tiny",), seconds=6.0, lanes=2, batch=64)


def start(workdir: Path, benchmark: Benchmark = SHORT, **options: Any) -> tuple[Measured, str]:
    console = Console(file=io.StringIO(), width=80)
    how = Options(workdir, **{"devices": 2, **options})
    measured = hardware.run(benchmark, "float32", how, console)
    return measured, console.file.getvalue()  # type: ignore[attr-defined]


def test_from_start_to_report_and_on_after_a_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    workdir = tmp_path / "run"
    measured, printed = start(workdir)
    first = measured.points["tiny", 8, 1]
    assert first.devices == 1
    assert 0 < first.compile_s < first.wall_s
    assert first.peak_bytes
    assert all(seconds > 0 for kind in first.seconds.values() for seconds in kind)
    assert measured.finished
    assert max(map(len, printed.splitlines())) <= 80
    for words in ("tiny: training", "tiny: evaluation", "Where the chip is full", "Conditions"):
        assert printed.count(words) == 1, words
    names = {"config.json", "journal.jsonl", "points.csv", "run.json", "report.md"}
    assert {path.name for path in workdir.iterdir()} == names
    rows = list(csv.DictReader((workdir / "points.csv").read_text().splitlines()))
    assert [(r["entry"], int(r["batch"]), int(r["lanes"])) for r in rows] == list(measured.points)
    told = json.loads((workdir / "run.json").read_text())
    assert told["hardware"]["devices"] == 2
    assert len(told["points"]) == len(rows)

    # Again: nothing is measured.
    journal = workdir / "journal.jsonl"
    before = journal.read_bytes()
    again, printed = start(workdir)
    assert journal.read_bytes() == before
    assert "is finished" in " ".join(printed.split())
    assert again.points == measured.points
    assert report([str(workdir)]) == 0
    assert "tiny: training" in capsys.readouterr().out

    # Other settings are refused, whatever they are.
    for other in (
        {"benchmark": Benchmark(entries=("tiny",))},
        {"devices": 1},
        {"strategy": "vmap"},
    ):
        with pytest.raises(ConfigError, match="holds a run of another config"):
            start(workdir, **other)

    # Cut within the second line that follows the first point: that one stays as it is.
    lines = before.splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]) + lines[2][:20])
    on, _ = start(workdir)
    assert on.points["tiny", 8, 1] == first
    assert len(on.starts) == 2
    assert on.finished
    kinds = [event["event"] for event in read_journal(journal)]
    assert kinds[:3] == ["benchmark", "point", "benchmark"]

    # Another machine's points are not mixed with these.
    journal.write_bytes(b"".join(lines[:2]))
    told = dict(next(read_journal(journal)))
    told["hardware"] = {**told["hardware"], "cpu": "Another CPU"}
    journal.unlink()
    with Journal(journal) as file:
        file.append(told)
    with pytest.raises(ConfigError, match="of another machine \\(cpu: 'Another CPU' there"):
        start(workdir)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_told_what_is_being_measured(terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal)
    with hardware._status(console) as begun:
        begun(Ask("vgg", 8, 4, "lanes", 2, 16, 3.0))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("vgg" in told) == terminal


def test_a_real_program_that_memory_does_not_hold_is_compiled_and_left(tmp_path: Path) -> None:
    """XLA says what it needs before anything is allocated."""
    alone = Benchmark(entries=("tiny",), seconds=60.0, lanes=1, batch=64)
    devices, free = jax.devices()[:1], 30_000
    with Journal(tmp_path / "journal.jsonl") as journal:
        loop = Scaling(
            alone, "float32", "auto", devices, journal, Measured(), Meter(), free=lambda *_: free
        )
        measured = run(loop)
    assert not measured.points
    assert {(s.batch, s.why, s.available) for s in measured.skips} == {
        (8, "memory", free),
        (64, "memory", free),
    }
    assert all(skip.needed > free for skip in measured.skips)
