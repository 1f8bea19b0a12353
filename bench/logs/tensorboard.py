"""TensorBoard event files, without TensorFlow: `tensorboard --logdir RUN/tensorboard`

A run for each trial, named by its id: the curves, by step, and the hyperparameters, from which the
HParams dashboard makes its table and its parallel coordinates. The journal tells no time of an epoch:
all events bear that of the start.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.errors import brief
from bench.record import METRICS, RecordError, Results, TrialRecord
from bench.report import stats, units

FOLDER = "tensorboard"
_END = {"completed": "STATUS_SUCCESS", "diverged": "STATUS_FAILURE", "failed": "STATUS_FAILURE"}


def write(workdir: Path, results: Results) -> None:
    """Replaces `RUN/tensorboard`.

    Raises:
        RecordError: the disk refuses, or an id is none.
    """
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in results.curves:
        rows[row["trial"]].append(row)
    started_s = started(results)
    folder, new = workdir / FOLDER, workdir / f".{FOLDER}.{os.getpid()}.tmp"
    try:
        new.mkdir(parents=True)
        for name, record in results.trials.items():
            if not re.fullmatch("[0-9a-f]{12}", name):  # it could be a path to anywhere
                raise RecordError(f"{workdir} holds a trial without a proper id; train again")
            _write_trial(new / name, record, rows[name], started_s)
        shutil.rmtree(folder, ignore_errors=True)
        new.replace(folder)
    except OSError as error:
        raise RecordError(f"cannot write {folder}: {brief(error)}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def started(results: Results) -> float:
    """Seconds since 1970 at which the newest process began; 0 where the journal does not tell."""
    time = stats.newest_run(results).get("time")
    return datetime.fromisoformat(time).timestamp() if time else 0.0


def _write_trial(
    folder: Path, record: TrialRecord, rows: Iterable[Mapping[str, Any]], started_s: float
) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir()
    with (folder / f"events.out.tfevents.{int(started_s):010}.convoy").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=started_s, file_version="brain.Event:2").SerializeToString())
        for value in _hyperparameters(record, started_s):
            event = Event(wall_time=started_s, summary=Summary(value=[value]))
            writer.write(event.SerializeToString())
        for row in rows:
            known = [name for name in METRICS if row[name] is not None]
            values = [Summary.Value(tag=name, simple_value=row[name]) for name in known]
            event = Event(wall_time=started_s, step=row["step"], summary=Summary(value=values))
            writer.write(event.SerializeToString())


def _hyperparameters(record: TrialRecord, started_s: float) -> Iterable[Any]:
    """Where a session of the HParams dashboard begins; and ends, once the trial has."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )

    start = SessionStartInfo(group_name=record.trial.id, start_time_secs=started_s)
    for name, setting in record.trial.settings.items():
        value = start.hparams[name]
        if isinstance(setting, bool):
            value.bool_value = setting
        elif isinstance(setting, int | float):
            value.number_value = setting
        else:
            value.string_value = units.setting(setting)
    parts = {metadata.SESSION_START_INFO_TAG: HParamsPluginData(session_start_info=start)}
    if record.status in _END:
        status = api_pb2.Status.Value(_END[record.status])
        end = SessionEndInfo(status=status, end_time_secs=started_s + record.seconds)
        parts[metadata.SESSION_END_INFO_TAG] = HParamsPluginData(session_end_info=end)
    for tag, data in parts.items():
        about = metadata.create_summary_metadata(data)
        yield Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
