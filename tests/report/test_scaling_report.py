"""The hardware benchmark's tables and files, of a made-up machine."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.journal import Journal
from bench.points import Measured, is_benchmark
from bench.report import scaling
from bench.report.__main__ import main as command
from bench.report.scaling_views import points_csv, report, run_json, write_scaling
from bench.report.table import Table
from bench.suite import ENTRIES, Benchmark
from tests.made_up_machine import Machine, events, read

ALL = Benchmark(seconds=900.0)
GPU = Machine(
    devices=1, width=64, step_s=2e-4, example_s=1e-7, bytes=1 << 20, memory=1 << 33, joules=7.0
)


@pytest.fixture(scope="module")
def measured() -> Measured:
    return read(events(ALL, Machine(example_s=1e-4)))


def column(table: Table, name: str) -> list[str]:
    index = [c.name for c in table.columns].index(name)
    return [row[index] for row in table.rows]


def tables(measured: Measured) -> list[Table]:
    own = [t for name in measured.entries for t in scaling.of_entry(measured, name)]
    return [*own, *scaling.conclusions(measured)]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("machine", [Machine(), GPU])
def test_it_fits_a_terminal(machine: Machine, width: int) -> None:
    measured = read(events(ALL, machine))
    console = Console(file=StringIO(), width=width)
    scaling.show(console, measured)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines), "nothing is cut off"
    assert sum(": training" in line and line.endswith("training") for line in lines) == len(ENTRIES)


def test_a_row_a_point(measured: Measured) -> None:
    training, evaluation = scaling.of_entry(measured, "small")
    points = measured.of_entry("small")
    assert len(training.rows) == len(evaluation.rows) == len(points) > 10
    assert column(training, "batch")[0] == "8"
    assert column(training, "lanes")[:3] == ["1", "2", "4"]
    # Of a machine that takes 0.1 ms and 0.1 ms for each example of each of a device's lanes.
    assert column(training, "ms/step")[:3] == ["0.900", "0.900", "1.70"]
    assert column(training, "ms/step/trial")[:3] == ["0.900", "0.450", "0.425"]
    assert column(training, "examples/s")[:3] == ["8,889", "17,778", "18,824"]
    assert column(evaluation, "examples/s")[0] == "35,556"
    assert column(training, "GFLOP/s")[0] == "22.9"  # 8,889 · 3 · 857,216 FLOPs
    assert column(evaluation, "GFLOP/s")[0] == "30.5"
    assert column(training, "compile")[0] == "2.0 s"
    assert set(column(training, "J/example")) == {"unknown"}
    assert "55,098 parameters" in training.note


def test_energy_is_told_where_it_is_known() -> None:
    measured = read(events(Benchmark(entries=("tiny",), lanes=1, batch=64), GPU))
    training, _ = scaling.of_entry(measured, "tiny")
    assert "unknown" not in column(training, "J/example")


def test_where_the_chip_is_full(measured: Measured) -> None:
    """The made-up machine's two devices take lanes in turn: the second lane fills them, near enough."""
    table = scaling.full(measured)
    tiny = [row for row in table.rows if row[0] == "tiny"]
    assert [row[1] for row in tiny] == [
        "lanes, batch 8",
        "lanes, batch 64",
        "batch, 1 lane",
        f"batch, {tiny[0][2]} lanes",
    ]
    assert tiny[1][2] == "2"
    assert any(row[-1].startswith("time before ") for row in table.rows if row[0] == "vgg")


def test_what_memory_ended_is_told() -> None:
    measured = read(events(Benchmark(entries=("tiny",), seconds=1e4), GPU))
    rows = scaling.full(measured).rows
    assert "memory before 16,384" in {row[-1] for row in rows}
    words = [row[-1] for row in scaling.rule(measured).rows]
    assert any("the largest in memory" in word for word in words)
    told = json.loads(run_json(measured))
    skip = next(s for s in told["skipped"] if s["why"] == "memory")
    assert skip["needed"] > skip["available"] == GPU.memory


def test_the_files_hold_every_point(measured: Measured, tmp_path: Path) -> None:
    write_scaling(tmp_path, measured)
    assert {p.name for p in tmp_path.iterdir()} == {"points.csv", "run.json", "report.md"}
    rows = list(csv.DictReader(points_csv(measured).decode().splitlines()))
    told = json.loads((tmp_path / "run.json").read_text())
    assert len(rows) == len(told["points"]) == len(measured.points)
    for row, point, known in zip(rows, told["points"], measured.points.values(), strict=True):
        assert (row["entry"], int(row["batch"]), int(row["lanes"])) == known.place
        assert float(row["train_examples_per_s"]) == known.examples_per_s("train")
        assert point["evaluate_ms_per_step_median"] == known.ms("evaluate").median
        assert row["train_joules_per_example"] == ""
        assert point["train_joules_per_example"] is None
    assert told["benchmark"]["suite"] == "hardware-1"
    assert told["hardware"]["devices"] == 2
    assert {curve["entry"] for curve in told["curves"]} == set(ENTRIES)
    full = next(c for c in told["curves"] if c["over"] == "lanes" and c["batch"] == 64)
    assert full["train_full"] == 2
    assert "train_largest_is_ideal" not in full
    assert told["finished"]["reason"] == "completed"


def test_the_report_is_one_page_of_all(measured: Measured) -> None:
    page = report(measured)
    for table in tables(measured):
        assert f"## {table.title}" in page
    assert "neither NVML nor RAPL could be read" in page
    assert page.index("Where the chip is full") < page.index("tiny: training")


def test_an_unfinished_benchmark_can_be_told() -> None:
    whole = events(ALL, Machine())
    for kept in (0, 1, 2, 5, 30):
        measured = read(whole[:kept])
        report(measured)
        run_json(measured)
        points_csv(measured)
    assert "not ended" in {row[-1] for row in scaling.full(read(whole[:5])).rows}


def test_the_report_command_knows_a_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(*events(Benchmark(entries=("tiny",), seconds=30.0), Machine()))
    assert is_benchmark(tmp_path)
    assert command([str(tmp_path)]) == 0
    assert "tiny: evaluation" in capsys.readouterr().out
    assert (tmp_path / "points.csv").exists()
