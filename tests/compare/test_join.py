"""What two runs have in common, whatever their plans; and what must not be called the same."""

from pathlib import Path

import numpy as np
import pytest
from made_up_runs import (
    DATA,
    NARROW,
    SHAPE,
    WIDE,
    noisy,
    program,
    run,
    sides,
    sweep,
    trial,
    usual,
    written,
)  # fmt: skip

from bench.comparison.join import Joined, join
from bench.comparison.ratio import FASTER, FEW, SAME, SLOWER
from bench.comparison.ratios import parts, whole
from bench.comparison.side import Side, differences, machine, read
from bench.comparison.tables import differing
from bench.errors import ConfigError
from bench.suite import Benchmark
from tests import made_up_machine
from tests.made_up_machine import Machine
from tests.report.made_up_sweep import PEAKS, RUN, Event

WIDER = {**SHAPE, "width": 9}


def joined(path: Path, first: list[Event], second: list[Event]) -> Joined:
    return join(*sides(path, first, second))


def ratios(found: Joined) -> list[float]:
    return [row.ratio.value for row in found.rows]


def test_the_same_plan_is_joined_program_by_program(tmp_path: Path) -> None:
    second = sweep(
        program("x", WIDE, noisy(6e-3)),
        program("y", NARROW, noisy(1e-3)),
    )  # of other names, in another order
    found = joined(tmp_path, usual(), second)
    assert [row.name for row in found.rows] == ["n / y", "w / x"]
    assert ratios(found) == pytest.approx([1, 2])
    assert [row.ratio.verdict() for row in found.rows] == [SAME, SLOWER]
    # Of the two in turn: 1 + 3 ms become 1 + 6.
    assert found.whole["all programs"].ratio.value == pytest.approx(7 / 4)
    assert found.whole["all programs"].step_s == pytest.approx((2e-3, 3.5e-3))
    table = parts(found)
    assert table.rows[1][:6] == ("w / x", "2", "3.00", "6.00", "2.00", table.rows[1][5])
    assert table.rows[1][-1] == "40 / 40"


def test_another_plan_of_the_same_trials(tmp_path: Path) -> None:
    """Two programs against one that holds all: 2 trials of 1 ms and 2 of 3 ms, against 4 of 3 ms."""
    merged = sweep(program("m", NARROW + WIDE, noisy(3e-3), padded=True))
    found = joined(tmp_path, usual(), merged)
    [row] = found.rows
    assert row.name == "n, w / m"
    assert row.ratio.value == pytest.approx(3 / 2)
    assert ("padded", {"False"}, {"True"}) in row.differs()
    back = joined(tmp_path, merged, usual())
    assert ratios(back) == pytest.approx([2 / 3])
    assert back.whole["all programs"].ratio.value == pytest.approx(2 / 3)


def test_where_only_a_part_is_in_both_that_is_said(tmp_path: Path) -> None:
    other = tuple(trial(12, rate=rate) for rate in (1e-3, 2e-3, 3e-3))
    second = sweep(program("m", NARROW + other, noisy(2e-3)), program("o", [trial(32)], noisy(1.0)))
    found = joined(tmp_path, usual(), second)
    [row] = found.rows
    assert row.ratio.value == pytest.approx(2)
    table = parts(found)
    assert table.rows[0][1] == "2 / 2 of 5"
    assert "A alone has w." in table.note
    assert "B alone has o." in table.note


def test_other_trials_of_the_same_cells_are_the_same_work(tmp_path: Path) -> None:
    """A learning rate, a seed or the number of epochs makes no step longer."""
    others = [trial(8, rate=0.5, epochs=7, seed=s) for s in range(5)]
    found = joined(tmp_path, usual(), sweep(program("n", others, noisy(1e-3))))
    assert ratios(found) == pytest.approx([1])
    assert parts(found).rows[0][1] == "2 / 5"
    seconds = {row[0]: row for row in whole(found).rows}
    assert seconds["training"][3] == "unknown", "seconds of other trials are no ratio"


def test_lanes_and_microbatches_do_not_hide_what_a_step_costs(tmp_path: Path) -> None:
    """Twice the lanes in twice the time; and a step of two microbatches of half the time."""
    lanes = program("n", NARROW, [2 * s for s in noisy(1e-3)], lanes=4)
    found = joined(tmp_path, sweep(program("n", NARROW, noisy(1e-3))), sweep(lanes))
    assert ratios(found) == pytest.approx([1])
    assert ("lanes", {"2"}, {"4"}) in found.rows[0].differs()
    halves = program("n", NARROW, noisy(0.5e-3), microbatch=32)
    found = joined(tmp_path, sweep(program("n", NARROW, noisy(1e-3))), sweep(halves))
    assert ratios(found) == pytest.approx([1])
    assert ("microbatch", {"64"}, {"32"}) in found.rows[0].differs()


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (usual(), sweep(program("n", [trial(8, batch_size=32)], noisy(1e-3))), "no work in common"),
        (usual(), sweep(program("n", [trial(8, optimizer="sgd")], noisy(1e-3))), "no work in common"),
        (usual(), sweep(program("n", [trial(8, flip=True)], noisy(1e-3))), "no work in common"),
        (usual(), sweep(), "no work in common"),
        (usual(), usual(data={**DATA, "fingerprint": "x", "preprocessing": WIDER}), "no work"),
        (usual(), sweep(program("n", NARROW, [])), "no work in common"),
        (usual(), made_up_machine.events(Benchmark(entries=("tiny",)), Machine()), "a hardware benchmark"),
    ],
    ids=["batch", "optimizer", "augmentation", "nothing", "shape", "no dispatch", "benchmark"],
)  # fmt: skip
def test_unlike_things_are_not_called_alike(
    tmp_path: Path, first: list[Event], second: list[Event], told: str
) -> None:
    for one, other in ((first, second), (second, first)):
        with pytest.raises(ConfigError, match=told):
            joined(tmp_path, one, other)


def test_what_differs_is_listed(tmp_path: Path) -> None:
    software = {**RUN["software"], "jax": "0.11.2", "precision": "bfloat16", "xla_flags": ""}
    narrow = program("n", NARROW, noisy(1e-3), lowerings={"conv": "native"})
    second = sweep(narrow, software={**software, "git_commit": "abc"}, hardware={"devices": 8})
    first, other = sides(tmp_path, usual(), second)
    found = {name: values for name, *values in differing([first, other]).rows}
    assert found["jax"] == ["0.10.2", "0.11.2"]
    assert found["precision"] == ["float32", "bfloat16"]
    assert found["git commit"] == ["unknown", "abc"]
    assert found["devices"] == ["2", "8"]
    assert found["xla flags"] == ["--xla_force_host_platform_device_count=2", "none"]
    assert found["lowerings"] == ["direct", "native"]
    assert found["cpu"] == ["Example CPU @ 2.70GHz", "unknown"]
    assert found["programs"] == ["2", "1"]
    assert "python" not in found
    joins = join(first, other)  # the same work all the same
    assert joins.rows[0].differs() == [
        ("lowerings", {"conv": "direct"}, {"conv": "native"}),
    ]


def test_a_run_of_which_only_the_journal_is_there_and_not_ended(tmp_path: Path) -> None:
    """The second program has had no dispatch but its warm-up, the first few."""
    half = sweep(program("n", NARROW, noisy(2e-3, n=9)), program("w", WIDE, []), ended=False)
    found = joined(tmp_path, usual(), half)
    assert ratios(found) == pytest.approx([2], rel=0.02)
    assert found.rows[0].ratio.verdict() == FEW
    assert "B has timed no dispatch of w." in parts(found).note
    seconds = {row[0]: row for row in whole(found).rows}
    assert seconds["wall time"][2:4] == ("unknown", "unknown")
    assert seconds["memory"][2] == "unknown"


def test_half_of_a_cell_is_no_cost_of_it(tmp_path: Path) -> None:
    """One of two narrow trials is in a program that has not run yet."""
    split = [program("n", NARROW[:1], noisy(1e-3)), program("l", NARROW[1:], [])]
    second = sweep(*split, program("w", WIDE, noisy(3e-3)), ended=False)
    found = joined(tmp_path, usual(), second)
    assert [row.name for row in found.rows] == ["w"]


def test_schemas_compare(tmp_path: Path) -> None:
    """Of schema 1, whose journals tell neither shapes nor lowerings nor what feeding took."""
    old_data = {name: value for name, value in DATA.items() if name != "preprocessing"}
    old = [
        {name: v for name, v in event.items() if name not in ("input_s", "before_s")}
        for event in usual(2.0, schema=1, data=old_data)
    ]
    for event in old:
        if event["event"] == "program":
            event["plan"] = {k: v for k, v in event["plan"].items() if k != "lowerings"}
    found = joined(tmp_path, old, usual())
    assert ratios(found) == pytest.approx([1 / 2, 1 / 2])
    assert [row.ratio.verdict() for row in found.rows] == [FASTER, FASTER]
    told = {name: values for name, *values in differences([found.first.first, found.second.first])}
    assert told["schema"] == ["1", "2"]
    assert told["lowerings"] == ["", "direct"]
    seconds = {row[0]: row for row in whole(found).rows}
    assert seconds["input"][1] == "unknown"


def test_the_machine_is_held_against_itself_alone(tmp_path: Path) -> None:
    slower = {**PEAKS, "bytes_per_s": 10e9}
    other = sweep(program("n", NARROW, noisy(2e-3)), hardware={**RUN["hardware"], "cpu": "another"})
    first, second, third = sides(
        tmp_path, usual(), [slower if e["event"] == "peaks" else e for e in usual(2.0)], other
    )
    assert machine(first, second) == pytest.approx(np.log(2))
    assert join(first, second).rows[0].ratio.verdict() == "the machine changed"
    assert machine(first, third) == 0
    assert join(first, third).rows[0].ratio.verdict() == SLOWER


def test_repeats_are_one_side(tmp_path: Path) -> None:
    """The runs are the samples: three of 1 ms and thereabouts against three of 1.3 ms."""
    runs = [
        run(tmp_path / str(n), usual(factor, seed=n))
        for n, factor in enumerate((0.98, 1, 1.02, 1.28, 1.3, 1.32))
    ]
    found = join(Side("A", tuple(runs[:3])), Side("B", tuple(runs[3:])))
    assert ratios(found) == pytest.approx([1.3, 1.3], rel=0.01)
    assert {row.ratio.verdict() for _, row in found.tested} == {SLOWER}
    assert found.rows[0].ratio.freedom == pytest.approx(4, abs=0.3)
    assert parts(found).rows[0][-1] == "120 / 120"
    # Seconds have a spread, too: they are the same in all of these.
    assert {row[0]: row[5] for row in whole(found).rows}["wall time"] == SAME


def test_runs_that_differ_are_no_repeats(tmp_path: Path) -> None:
    one, other = run(tmp_path / "1", usual()), run(tmp_path / "2", usual(hardware={"cpu": "x"}))
    with pytest.raises(ConfigError, match=r"does not repeat .*: they differ in cpu, cores"):
        Side("A", (one, other))


@pytest.fixture
def benchmarks(tmp_path: Path) -> list[Side]:
    suite = Benchmark(entries=("tiny", "small"), seconds=900.0)
    machines = (Machine(), Machine(step_s=3e-4, example_s=3e-5, joules=None))
    return [
        Side(name, (run(tmp_path / name, made_up_machine.events(suite, machine)),))
        for name, machine in zip("AB", machines, strict=True)
    ]


def test_hardware_benchmarks_are_joined_point_by_point(benchmarks: list[Side]) -> None:
    found = join(*benchmarks)
    measured = {key for side in benchmarks for key in side.keys}
    assert len(found.rows) > 30
    assert {key for row in found.rows for key in row.keys} <= measured
    assert not any("/" in row.name for row in found.rows)
    assert ratios(found) == pytest.approx([3] * len(found.rows))
    assert list(found.whole) == ["training", "evaluation"]
    for row in found.whole.values():
        assert row.ratio.value == pytest.approx(3)
        assert row.ratio.verdict() == SLOWER
    assert parts(found).rows[0][0] == "tiny, batch 8, 1 lane: training"


def test_benchmarks_repeat_each_other_too(tmp_path: Path, benchmarks: list[Side]) -> None:
    first, second = (side.runs[0] for side in benchmarks)
    found = join(Side("A", (first, first)), Side("B", (second, second)))
    assert {row.ratio.verdict() for _, row in found.tested} == {SLOWER}


def test_an_unknown_suite_is_refused(tmp_path: Path) -> None:
    suite = Benchmark(entries=("tiny",), seconds=30.0)
    told = made_up_machine.events(suite, Machine())
    other = [{**told[0], "benchmark": {**told[0]["benchmark"], "suite": "hardware-2"}}, *told[1:]]
    with pytest.raises(ConfigError, match="no work in common"):
        joined(tmp_path, told, other)


def test_a_run_directory_is_only_read(tmp_path: Path) -> None:
    place = written(tmp_path / "a", usual())
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    read(place)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
