"""MLflow: a run for the sweep, and in it a run for each trial, with parameters, curves, tags and files.

It goes to `MLFLOW_TRACKING_URI`, else to `RUN/mlflow.db` (SQLite: MLflow gives its plain files up), and to
the experiment `MLFLOW_EXPERIMENT_NAME`, else "convoy". The sweep is known again by how its journal begins, a
trial by a hash of what is logged of it: one that is unchanged stays, one that has changed is deleted and
logged anew. The journal tells no time of an epoch: all metrics bear that of the start, and a trial lasts
as long as its share of its lanes' dispatches.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import brief
from bench.logs.tensorboard import started
from bench.record import METRICS, RecordError, Results, TrialRecord
from bench.report import stats

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
_FILES = ("report.md", "trials.csv", "curves.parquet", "run.json", "best.npz", "config.json")
_END = {"completed": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "paused": "KILLED"}
_MOST = 1000  # metrics of a call, as MLflow allows
_LONGEST = 500  # characters of a tag or parameter that every MLflow takes


def write(workdir: Path, results: Results) -> None:
    """Logs a sweep in place of what was logged of it before.

    Raises:
        RecordError: MLflow refuses; its first line says why.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is to be told to strangers
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        _Sweep(workdir, results).write()
    except Exception as error:  # of many kinds: the database's, the network's, MLflow's
        raise RecordError(
            f"cannot log to MLflow ({brief(error)}); later: "
            f"python -m bench.report {workdir} --log=mlflow"
        ) from error


class _Sweep:
    """What is logged of one run directory, and where."""

    def __init__(self, workdir: Path, results: Results):
        from mlflow import MlflowClient

        self.workdir, self.results = workdir.absolute(), results
        self.started_ms = int(1000 * started(results))
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            path = self.workdir / DATABASE
            uri = f"sqlite:///{path}"
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA journal_mode=WAL")  # half the waiting for the disk
        self.client = MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "convoy")
        found = self.client.get_experiment_by_name(name)
        where = None if os.environ.get("MLFLOW_TRACKING_URI") else f"{self.workdir / ARTIFACTS}"
        self.where = where
        self.experiment = (
            found.experiment_id if found else self.client.create_experiment(name, where)
        )

    def write(self) -> None:
        """The sweep's run, which stays the same, and the trials' in it."""
        parent = self._parent()
        there = {}
        for run in self._search(f"tags.`mlflow.parentRunId` = '{parent}'"):
            there[run.data.tags.get("convoy.trial")] = run
        rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.results.curves:
            rows[row["trial"]].append(row)
        for name, record in self.results.trials.items():
            hashed = _hash([self.started_ms, record.trial.to_json(), _tags(record), rows[name]])
            old = there.get(name)
            if old is not None and old.data.tags.get("convoy.hash") == hashed:
                del there[name]
                continue
            self._trial(parent, record, rows[name], hashed)
        for run in there.values():
            self.client.delete_run(run.info.run_id)
        self._finish(parent)

    def _parent(self) -> str:
        """The sweep's run, made the first time."""
        first = self.results.runs[0] if self.results.runs else {}
        known = _hash([first, str(self.workdir)])
        for run in self._search(f"tags.`convoy.sweep` = '{known}'"):
            return run.info.run_id
        tags = {"convoy.sweep": known}
        run = self.client.create_run(
            self.experiment, self.started_ms, tags, run_name=self.workdir.name
        )
        return run.info.run_id

    def _finish(self, parent: str) -> None:
        from mlflow.entities import RunTag

        results, best = self.results, self.results.best
        totals = stats.totals(results)
        told = {
            "status": totals.reason or "running",
            "best": best.trial.id if best else "unknown",
            "rank_by": results.rank_by,
            "trials": " ".join(f"{n} {status}" for status, n in totals.statuses.items()),
            "data": stats.newest_run(results).get("data", {}).get("name", "unknown"),
            "axes": ", ".join(stats.newest_run(results).get("axes", ())),
        }
        tags = [RunTag(f"convoy.{name}", str(value)[:_LONGEST]) for name, value in told.items()]
        self.client.log_batch(parent, tags=tags)
        there = self.client.get_run(parent).info.artifact_uri
        if self.where and there != f"{self.where}/{parent}/artifacts":  # moved, or made by hand
            raise RecordError(f"{self.workdir / DATABASE} is of another place: remove it")
        for name in _FILES:
            if (self.workdir / name).exists():
                self.client.log_artifact(parent, str(self.workdir / name))
        if totals.reason:
            status = "FINISHED" if totals.reason == "completed" else "KILLED"
            end_ms = self.started_ms + int(1000 * (totals.wall_s or 0))
            self.client.set_terminated(parent, status, end_ms)

    def _trial(self, parent: str, record: TrialRecord, rows: list, hashed: str) -> None:
        from mlflow.entities import Metric, Param

        tags = {**_tags(record), "mlflow.parentRunId": parent}
        name = record.trial.id
        run = self.client.create_run(self.experiment, self.started_ms, tags, run_name=name)
        params = [
            Param(name, (value if isinstance(value, str) else json.dumps(value))[:_LONGEST])
            for name, value in record.trial.settings.items()
        ]
        metrics = [
            Metric(name, row[name], self.started_ms, row["step"])
            for row in rows
            for name in METRICS
            if row[name] is not None
        ]
        identity = run.info.run_id
        self.client.log_batch(identity, metrics[:_MOST], params[:100])
        for first in range(_MOST, len(metrics), _MOST):
            self.client.log_batch(identity, metrics[first : first + _MOST])
        if record.status in _END:
            end_ms = self.started_ms + int(1000 * record.seconds)
            self.client.set_terminated(identity, _END[record.status], end_ms)
        # Last: what was cut short is made anew.
        self.client.set_tag(identity, "convoy.hash", hashed)

    def _search(self, words: str) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], words, max_results=_MOST, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


def _tags(record: TrialRecord) -> dict[str, str]:
    about = {
        "trial": record.trial.id,
        "status": record.status,
        "program": record.program,
        "parameters": str(record.parameters),
        "collapsed": str(record.collapsed),
        "error": record.error[:_LONGEST],
    }
    return {f"convoy.{name}": value for name, value in about.items() if value}


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
