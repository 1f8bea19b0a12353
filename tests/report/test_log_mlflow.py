"""What MLflow's own client finds of a sweep is what its tables say."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from made_up_sweep import FINISH, RUN, Event, begin, end, epoch, program

from bench import logs
from bench.record import METRICS, RecordError, Results
from bench.report import write_views
from bench.trial import Trial

Read = Callable[[list[Event]], Results]
TRIALS = [Trial.create({"features": n, "epochs": 2, "kernel": (3, n)}, {}) for n in (1, 2, 3)]
BEGUN = [RUN, program("p", [t.id for t in TRIALS]), *(begin(t, "p") for t in TRIALS)]
FIRST = [epoch(t, 1, 0.5) for t in TRIALS]
ENDED = [epoch(TRIALS[0], 2, 0.75), end(TRIALS[0]), end(TRIALS[1], "diverged", error="it did")]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for library in logs.LIBRARIES["mlflow"]:
        pytest.importorskip(library, reason="requirements-log.txt is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient

    return lambda: MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def found(client: Any) -> tuple[Any, dict[str, Any]]:
    """The sweep's run, and those of its trials."""
    experiment = client.get_experiment_by_name("convoy").experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    [parent] = [run for run in runs if "convoy.sweep" in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId")]
    assert len(runs) == 1 + len(children)
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    by_trial = {run.data.tags["convoy.trial"]: run for run in children}
    assert len(by_trial) == len(children)  # nothing twice
    return parent, by_trial


@pytest.mark.slow
def test_its_client_finds_the_sweep_and_nothing_twice(
    read: Read, client: Any, tmp_path: Path
) -> None:
    """While it runs, when it has ended, and once more: what has changed is replaced, the rest stays."""
    logs.write(["mlflow"], tmp_path, read([*BEGUN, *FIRST]))
    first, running = found(client())
    assert {run.info.status for run in running.values()} == {"RUNNING"}
    results = read([*BEGUN, *FIRST, *ENDED, FINISH])
    write_views(tmp_path, results)
    for _ in range(2):
        logs.write(["mlflow"], tmp_path, results)
    parent, children = found(client())
    assert parent.info.run_id == first.info.run_id
    unchanged = TRIALS[2].id
    assert children[unchanged].info.run_id == running[unchanged].info.run_id
    assert (parent.info.status, parent.data.tags["convoy.best"]) == ("FINISHED", TRIALS[0].id)
    names = {file.path for file in client().list_artifacts(parent.info.run_id)}
    assert names == {"report.md", "trials.csv", "curves.parquet", "run.json"}
    assert {name: run.info.status for name, run in children.items()} == {
        TRIALS[0].id: "FINISHED", TRIALS[1].id: "FAILED", TRIALS[2].id: "RUNNING",
    }  # fmt: skip
    copy = tmp_path / "copy"  # what it holds points elsewhere
    copy.mkdir()
    with (
        closing(sqlite3.connect(tmp_path / "mlflow.db")) as old,
        closing(sqlite3.connect(copy / "mlflow.db")) as new,
    ):
        old.backup(new)
    with pytest.raises(RecordError, match="is of another place: remove it"):
        logs.write(["mlflow"], copy, results)
    for name, run in children.items():
        record = results.trials[name]
        assert run.data.params["features"] == str(record.trial["features"])
        assert run.data.params["optimizer"] == record.trial["optimizer"]
        assert (run.data.tags["convoy.status"], run.data.tags["convoy.program"]) == (
            record.status,
            "p",
        )
        assert run.data.metrics == record.metrics
        rows = [row for row in results.curves if row["trial"] == name]
        for metric in METRICS:
            history = client().get_metric_history(run.info.run_id, metric)
            points = [(point.step, point.value) for point in history]
            assert sorted(points) == [(row["step"], row[metric]) for row in rows]


def test_what_mlflow_refuses_is_one_line(
    read: Read, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    with pytest.raises(RecordError, match="cannot log to MLflow") as caught:
        logs.write(["mlflow"], tmp_path, read(BEGUN))
    assert "\n" not in str(caught.value)
    assert f"later: python -m bench.report {tmp_path} --log=mlflow" in str(caught.value)
