"""All that a report is made of, from the run directory alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.artifacts import read_config
from bench.best import Trained
from bench.data import DataOptions, Dataset, load
from bench.errors import ConvoyError, DataError, brief
from bench.record import Results, TrialRecord
from bench.report import stats
from bench.report.charts.fields import Field, over_decade
from bench.report.diagnosis import diagnosis
from bench.report.importance import Importance, importance
from bench.report.leaderboard import varying

SEEDS = ("seed", "data_seed")  # an axis that nobody chooses by
# Keys of a trial's row that no hyperparameter has, for they hold a blank.
RANKING, TEST, TRAIN_LOSS, TEST_LOSS = (
    "ranking accuracy",
    "test accuracy",
    "train loss",
    "test loss",
)
SECONDS, PARAMETERS, NAME, FIT = "training seconds", "trained parameters", "trial id", "the fit"


@dataclass(frozen=True)
class Material:
    """What is known of a sweep.

    Attributes:
        results: its journal, read.
        space: axis → its expression, as the config has it; empty where that is unknown.
        trained: the best trial's parameters and test predictions, None where there are none.
        dataset: that it learned, None where it could not be had again.
        missing: why there is no `trained` or no `dataset`, in a sentence.
    """

    results: Results
    space: Mapping[str, str] = field(default_factory=dict)
    trained: Trained | None = None
    dataset: Dataset | None = None
    missing: str = ""

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        return self.results.ranked()

    @property
    def data(self) -> Mapping[str, Any]:
        """What the newest run event says of the data set."""
        return stats.newest_run(self.results).get("data", {})

    @property
    def accuracy(self) -> Field:
        """What trials are ranked by."""
        split = "validation" if self.results.rank_by == "valid" else "training"
        return Field(RANKING, f"{split} accuracy", percent=True)

    @cached_property
    def axes(self) -> tuple[Field, ...]:
        """The hyperparameters that vary, seeds left out.

        Logarithmic are those whose logarithm is drawn uniformly, and values over a decade or more if not
        drawn uniformly themselves.
        """
        records = self.results.trials.values()

        def log(axis: str) -> bool:
            values = {record.trial.settings.get(axis) for record in records} - {None}
            drawn = self.space.get(axis, "").partition("(")[0]
            return "log" in drawn or ("uniform" not in drawn and over_decade(values))

        return tuple(
            Field(a, log=log(a)) for a in varying(self.results) if a not in SEEDS and " " not in a
        )

    @cached_property
    def importance(self) -> Importance | None:
        """Of the axes, where there are trials enough."""
        return importance(self.measured, self.axes, self.accuracy)

    @property
    def by_importance(self) -> list[Field]:
        """The axes, the most important first as far as that is known."""
        order = list(self.importance.of) if self.importance else [axis.key for axis in self.axes]
        return sorted(self.axes, key=lambda axis: order.index(axis.key))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row a trial, best first: its settings, and what came of it."""
        part, classes = self.results.rank_by, self.data.get("classes") or 0
        return [
            {
                **record.trial.settings,
                NAME: record.trial.id,
                RANKING: record.metrics.get(f"{part}_accuracy"),
                TEST: record.metrics.get("test_accuracy"),
                TRAIN_LOSS: record.metrics.get("train_loss"),
                TEST_LOSS: record.metrics.get("test_loss"),
                SECONDS: record.seconds or None,
                PARAMETERS: record.parameters,
                FIT: diagnosis(record, classes),
            }
            for record in self.ranked
        ]

    @cached_property
    def measured(self) -> list[dict[str, Any]]:
        """The rows of trials that have an accuracy to be ranked by."""
        return [row for row in self.rows if row[RANKING] is not None]


def gather(
    workdir: Path,
    results: Results,
    dataset: Dataset | None = None,
    data_dir: Path | str | None = None,
) -> Material:
    """What a run directory holds; what it lacks, or is damaged, is said in the report and no error.

    Args:
        workdir: the run directory.
        results: its journal, read.
        dataset: that it learns, if it is at hand; else it is loaded again, where there is use for it.
        data_dir: where data sets lie, as for `data.load`.
    """
    missing: list[str] = []

    def tried(make: Callable[..., Any], *given: Any) -> Any:
        try:
            return make(*given)
        except ConvoyError as error:
            missing.append(f"{str(error).rstrip('.')}.")
            return None

    config = tried(read_config, workdir)
    trained = tried(Trained.read, workdir)
    if dataset is None and config and trained:
        dataset = tried(_loaded, config, data_dir)
    space = config["space"] if config else {}
    return Material(results, space, trained, dataset, " ".join(missing))


def _loaded(config: Mapping[str, Any], data_dir: Path | str | None) -> Dataset:
    """The data set of a config; only that with its fingerprint, which nobody knows who does not have it."""
    try:
        options = DataOptions(**config["data"])
    except TypeError as error:
        raise DataError(
            f"config.json has options of data that are not known: {brief(error)}"
        ) from error
    dataset = load(config["dataset"], options, data_dir)
    if dataset.fingerprint != config["fingerprint"]:
        raise DataError(
            f"{config['dataset']} is not the data that was learned (its fingerprint is "
            f"{dataset.fingerprint}): give --data_dir"
        )
    return dataset
