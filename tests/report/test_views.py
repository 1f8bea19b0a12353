import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_sweep import FINISH, PEAKS, RUN, Event, begin, end, epoch, failed, program, train

from bench.record import METRICS, SCHEMA, RecordError, Results
from bench.report import write_views
from bench.report.views import curves_parquet, losses_parquet, run_json, trials_csv
from bench.trial import Trial

Read = Callable[[list[Event]], Results]


def rows(results: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(trials_csv(results).decode())))


def test_a_row_per_trial_best_first(read: Read, events: list[Event]) -> None:
    results = read(events)
    table = rows(results)
    assert [row["trial"] for row in table] == [record.trial.id for record in results.ranked()]
    names = list(table[0])
    assert names[:2] == ["trial", "status"]
    assert names[-15:] == [
        "params", "epochs_done", *METRICS, "test_examples", "collapsed", "program", "seconds",
        "error",
    ]  # fmt: skip
    assert names[2:-15] == sorted(
        next(iter(results.trials.values())).trial.settings.keys() | {"beta1"}
    )
    assert len(set(names)) == len(names)


def test_cells(read: Read, events: list[Event]) -> None:
    results = read(events)
    by_id = {row["trial"]: row for row in rows(results)}
    table = [by_id[name] for name in results.trials]  # as they began
    assert table[0]["beta1"] == "0.9"
    assert table[8]["optimizer"] == "sgd"
    assert table[8]["beta1"] == ""  # inactive
    assert [table[i]["status"] for i in (0, 7, 8, 9)] == [
        "completed",
        "diverged",
        "pruned",
        "running",
    ]
    assert (table[8]["epochs"], table[8]["epochs_done"]) == ("2", "1")
    assert table[10]["collapsed"] == "True"
    assert (table[0]["test_examples"], table[0]["seconds"]) == ("360", "6.25")


def test_a_trial_without_an_epoch_has_empty_metrics(read: Read) -> None:
    trial = Trial.create({}, {})
    [row] = rows(read([RUN, program("p"), begin(trial, "p")]))
    assert {row[name] for name in (*METRICS, "test_examples")} == {""}
    assert row["params"] == "12345"


def test_a_failed_trial_says_why(read: Read) -> None:
    good, bad = (Trial.create({"seed": seed}, {}) for seed in (1, 2))
    error = 'needs 41.2 GB, but has 11.8 GB; use a "smaller" batch'
    table = rows(read([RUN, program("p"), begin(good, "p"), end(good), *failed(bad, error)]))
    assert [(row["status"], row["error"]) for row in table] == [
        ("completed", ""),
        ("failed", error),
    ]


def test_tuples_are_json(read: Read) -> None:
    [row] = rows(read([begin(Trial("0" * 12, {"filters": (8, 16)}), "p")]))
    assert json.loads(row["filters"]) == [8, 16]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_as_they_were(value: float) -> None:
    results = Results()
    trial = Trial("0" * 12, {"learning_rate": value})
    for event in (begin(trial, "p"), epoch(trial, 1, 0.5, test_loss=value)):
        results.add(event)
    [row] = rows(results)
    assert float(row["learning_rate"]) == float(row["test_loss"]) == value


def test_pandas_reads_it(read: Read, events: list[Event]) -> None:
    results = read(events)
    frame = pd.read_csv(io.BytesIO(trials_csv(results)), dtype={"trial": str, "program": str})
    assert set(frame["trial"]) == set(results.trials)
    assert frame["beta1"].isna().sum() == 24
    assert frame["collapsed"].dtype == bool
    best = frame.sort_values(["valid_accuracy", "valid_loss"], ascending=[False, True])[
        "trial"
    ].iloc[0]
    assert frame.set_index("trial")["valid_accuracy"][best] == 0.99
    assert best == frame["trial"][0]


def test_what_is_not_finite_is_empty_live_as_from_the_journal(read: Read) -> None:
    trial = Trial.create({}, {})
    told = [
        begin(trial, "p"),
        epoch(trial, 1, 0.5, train_loss=float("nan"), test_loss=float("inf")),
    ]
    live = Results()
    for event in told:
        live.add(event)
    assert trials_csv(live) == trials_csv(read(told))
    assert curves_parquet(live) == curves_parquet(read(told))


def test_curves(read: Read, events: list[Event], tmp_path: Path) -> None:
    trial = Trial.create({"seed": 1}, {})
    results = read([*events, begin(trial, "00000000"), epoch(trial, 1, 0.5, test_loss=None)])
    (tmp_path / "c.parquet").write_bytes(curves_parquet(results))
    table = pq.read_table(tmp_path / "c.parquet")
    assert table.column_names == ["trial", "epoch", "step", *METRICS]
    assert set(map(str, table.schema.types)) == {"string", "int64", "double"}
    assert table.to_pylist() == sorted(results.curves, key=lambda row: (row["trial"], row["epoch"]))
    assert table["test_loss"].null_count == 1
    assert curves_parquet(results) == curves_parquet(results)


def test_curves_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.parquet").write_bytes(curves_parquet(Results()))
    assert pq.read_table(tmp_path / "c.parquet").num_rows == 0


def test_losses_are_means_over_windows(read: Read, tmp_path: Path) -> None:
    one, two, three = (Trial.create({"seed": seed}, {}) for seed in range(3))
    first = {one.id: [[0, 4, 2.0, 4.0, 3.0, 8.0]], three.id: [[0, 1, 1.0, 0.0, 0.0, 0.0]]}
    rest = {
        two.id: [[1, 20, 3.0, 2.0, 1.0, 4.0]],
        one.id: [[0, 10, 1.0, 2.0, 1.0, 8.0], [1, 18, math.inf, 2.0, 0.0, 8.0]],
    }
    told = [program("p"), *(begin(trial, "p") for trial in (one, two, three))]
    told += [train("p", 1.0, losses=first), train("p", 1.0), train("p", 1.0, losses=rest)]
    content = losses_parquet(read(told))
    (tmp_path / "l.parquet").write_bytes(content)
    table = pq.read_table(tmp_path / "l.parquet")
    assert table.column_names == ["trial", "step", "loss", "accuracy"]
    assert (
        [tuple(row.values()) for row in table.to_pylist()]
        == sorted(
            [
                (one.id, 10, 0.5, 0.25),
                (one.id, 18, None, 0.0),
                (two.id, 20, 1.5, 0.25),
                (three.id, 1, None, None),  # of no weight, and no example
            ],
            key=lambda row: row[:2],
        )
    )
    write_views(tmp_path, read(told))
    assert (tmp_path / "losses.parquet").read_bytes() == content


def test_run_json(read: Read, events: list[Event]) -> None:
    results = read([*events, FINISH])
    content = json.loads(run_json(results))
    assert {name: content[name] for name in ("software", "data")} == {
        name: RUN[name] for name in ("software", "data")
    }
    assert content["hardware"] == {**RUN["hardware"], "peaks": None}
    assert content["schema"] == SCHEMA
    assert content["best"] == results.ranked()[0].trial.id
    assert content["axes"] == RUN["axes"]
    first = content["programs"][0]
    assert first["id"] == "00000000"
    assert first["ms_per_step"]["64"]["n"] == 3
    assert list(first["ms_per_step"]) == list(first["ms_per_step_per_trial"]) == ["64"]
    assert (first["batch_sizes"], first["microbatch"], first["padded"]) == ([64], 64, False)
    assert first["expected_s"] == {"compile": 2.0, "train": 12.0}
    assert (first["compile_s"], first["train_s"]) == (1.5, pytest.approx(10.05))
    assert first["peak_fraction"] is first["peak_bytes"] is first["lowerings"] is None
    assert content["totals"]["wall_s"] == 360.0


def test_run_json_holds_peaks_and_what_they_make_of_a_program(read: Read) -> None:
    counts = {
        "flops_per_iteration": 4e9,
        "bytes_per_iteration": 4e8,
        "xla_flops": 5e9,
        "xla_bytes": None,
    }
    told = [RUN, {**program("p"), **counts}, train("p", 1.0, flops=5e10), PEAKS, FINISH]
    content = json.loads(run_json(read(told)))
    assert content["hardware"]["peaks"] == {n: v for n, v in PEAKS.items() if n != "event"}
    [first] = content["programs"]
    assert {name: first[name] for name in counts} == counts
    # 10 FLOP a byte at 20 GB/s are 200 GFLOP/s.
    assert (first["intensity"], first["bound"], first["peak_fraction"]) == (10, "memory", 0.25)
    assert (first["tune_s"], first["input_s"]) == (0.0, 0.5)
    assert content["totals"]["peaks_s"] == 0.75


def test_run_json_says_null_for_what_is_unknown() -> None:
    content = json.loads(run_json(Results()))
    unknown = ("hardware", "software", "data", "axes", "best")
    assert {content[name] for name in unknown} == {None}
    assert content["totals"]["wall_s"] is None
    assert content["programs"] == []


def test_all_views_are_written_and_only_they(
    read: Read, events: list[Event], tmp_path: Path
) -> None:
    results = read(events)
    write_views(tmp_path, results)
    expected = {
        "journal.jsonl",
        "trials.csv",
        "curves.parquet",
        "run.json",
        "report.md",
        "report.html",
    }
    assert {path.name for path in tmp_path.iterdir()} == expected
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_views(tmp_path, Results.read(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_pictures_are_not_written_through_a_link(
    read: Read, events: list[Event], tmp_path: Path
) -> None:
    results = read(events)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pictures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="pictures is a link"):
        write_views(tmp_path, results)


def test_a_missing_directory_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"cannot write .*trials\.csv"):
        write_views(tmp_path / "none", Results())


def test_a_restart_forgets_what_was_unfinished(read: Read) -> None:
    done, cut = (Trial.create({"seed": seed}, {}) for seed in (1, 2))
    told = [RUN, program("p"), begin(done, "p"), begin(cut, "p"), epoch(cut, 1, 0.5)]
    results = read([*told, epoch(done, 1, 0.9), end(done), RUN])
    assert [row["trial"] for row in rows(results)] == [done.id]
