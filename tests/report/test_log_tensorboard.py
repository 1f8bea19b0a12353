"""What TensorBoard's own readers find of a sweep is what its tables say."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_sweep import RUN, Event, begin

from bench import logs
from bench.errors import ConfigError, ConvoyError
from bench.record import METRICS, RecordError, Results
from bench.report.__main__ import main
from bench.trial import Trial

Read = Callable[[list[Event]], Results]


def backend(folder: Path) -> Any:
    """TensorBoard's data provider over a folder, as its server has it."""
    pytest.importorskip("tensorboard", reason="requirements-log.txt is not installed")
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext

    sizes = {"scalars": 0, "tensors": 10}
    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 10_000}, size_guidance=sizes)
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    return TBContext(data_provider=provider, logdir=str(folder)), multiplexer


def curves_of(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    """(trial, step) → metric → value, of every event."""
    from tensorboard.util import tensor_util

    _, multiplexer = backend(folder)
    found: dict[tuple[str, int], dict[str, float]] = {}
    for run in multiplexer.Runs():
        for name in set(METRICS) & set(multiplexer.GetAccumulator(run).Tags()["tensors"]):
            events = multiplexer.Tensors(run, name)
            assert len({event.step for event in events}) == len(events)  # nothing twice
            for event in events:
                value = float(tensor_util.make_ndarray(event.tensor_proto))
                found.setdefault((run, event.step), {})[name] = value
    return found


def test_its_readers_find_every_metric_by_step(
    read: Read, events: list[Event], tmp_path: Path
) -> None:
    results = read(events)
    logs.write(["tensorboard"], tmp_path, results)
    found = curves_of(tmp_path / "tensorboard")
    assert len(found) == len(results.curves) > 48
    for row in results.curves:
        for name, value in found[row["trial"], row["step"]].items():
            assert value == pytest.approx(row[name], rel=1e-6)  # its scalars are float32
        assert set(found[row["trial"], row["step"]]) == set(METRICS)


def test_the_hparams_dashboard_has_settings_and_final_metrics(
    read: Read, events: list[Event], tmp_path: Path
) -> None:
    results = read(events)
    logs.write(["tensorboard"], tmp_path, results)
    context, _ = backend(tmp_path / "tensorboard")
    from tensorboard.context import RequestContext
    from tensorboard.plugins.hparams import api_pb2, backend_context
    from tensorboard.plugins.hparams import list_session_groups as groups

    hparams = backend_context.Context(context)
    metadata = hparams.hparams_metadata(RequestContext(), "")
    about = hparams.experiment_from_metadata(RequestContext(), "", True, metadata, None)
    varies = {info.name for info in about.hparam_infos if info.differs}
    assert varies == {"features", "optimizer", "learning_rate"}
    assert {info.name.tag for info in about.metric_infos} == set(METRICS)
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=list(api_pb2.Status.values()),
        col_params=[{"metric": info.name} for info in about.metric_infos],
        include_metrics=True,
    )
    listed = groups.Handler(RequestContext(), hparams, "", request).run().session_groups
    assert {group.name for group in listed} == set(results.trials)
    for group in listed:
        record = results.trials[group.name]
        for name, setting in record.trial.settings.items():
            shown = group.hparams[name]
            kind = shown.WhichOneof("kind")
            if isinstance(setting, str):
                assert shown.string_value == setting
            elif isinstance(setting, int | float) and kind != "string_value":
                assert math.isclose(getattr(shown, kind), setting)
        for metric in group.metric_values:
            assert metric.value == pytest.approx(record.metrics[metric.name.tag], rel=1e-6)


def test_to_log_again_replaces_what_was_there(
    read: Read, events: list[Event], tmp_path: Path
) -> None:
    """A journal that was cut back and went on otherwise leaves no trace of the first time."""
    pytest.importorskip("tensorboard", reason="requirements-log.txt is not installed")
    logs.write(["tensorboard"], tmp_path, read(events))
    shorter = read(events[: len(events) // 2])
    assert main([str(tmp_path), "--log=tensorboard"]) == 0
    assert len(curves_of(tmp_path / "tensorboard")) == len(shorter.curves)
    assert not list(tmp_path.glob(".tensorboard*"))


def test_an_id_that_is_a_path_leads_nowhere(read: Read, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="requirements-log.txt is not installed")
    forged = {**begin(Trial.create({}, {}), "p"), "trial": "../../outside"}
    with pytest.raises(RecordError, match="without a proper id"):
        logs.write(["tensorboard"], tmp_path, read([RUN, forged]))
    assert not (tmp_path / "tensorboard").exists()
    assert not list(tmp_path.rglob("outside"))
    assert not (tmp_path.parent / "outside").exists()


def test_a_sweep_that_has_begun_is_logged_too(read: Read, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="requirements-log.txt is not installed")
    logs.write(["tensorboard"], tmp_path, read([RUN]))
    assert not list((tmp_path / "tensorboard").iterdir())


def test_what_is_not_installed_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConvoyError, match=r"pip install -r requirements-log\.txt"):
        logs.check(["mlflow"])
    with pytest.raises(ConfigError, match="did you mean 'mlflow'"):
        logs.check(["mflow"])
