"""`docs/experiments.md`: a section a log, made of nothing but run directories and what the logs reported."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any

from bench.experiments.effects import effects
from bench.experiments.logs import LOGS, Log
from bench.experiments.pictures import Picture
from bench.experiments.runs import Run
from bench.layers import ShapeError
from bench.report import stats, units
from bench.report.charts import Spec, svg
from bench.report.conditions import machines
from bench.report.diagnosis import RULE, diagnosis
from bench.report.leaderboard import leaderboard
from bench.report.table import Column, Table, to_markdown
from bench.summary import summary, table

_TOP = 3
_MOST_MODELS = 15
_INTRODUCTION = """# Experiments

Five public logs of CNNs tuned by hand, each trained again as one command. Every number below is read from
run directories; nothing is typed in. A log trained each model once; what it concluded is asked here over
seeds, trial by trial against the one that is equal in all else (`bench/experiments/questions.py`). Test
accuracy chooses nothing: "the best" is the trial that ranks first on validation examples. What is not
trained yet is said to be so.

DATA holds the data sets ([how to fill it](../README.md#your-own-images)). The machine did other work at the
same time, so that wall times and milliseconds are longer than they would be alone.

```
python -m bench.experiments docs/experiments/*/ --out=docs/experiments.md
```"""


class Page:
    """The whole page.

    Args:
        runs: of the logs' configs, one a part.
        folder: how the page links to its pictures.

    Attributes:
        text: Markdown.
        pictures: file name → SVG.
    """

    def __init__(self, runs: Iterable[Run], folder: str):
        self.folder = folder
        self.pictures: dict[str, str] = {}
        by_config = {run.config: run for run in runs}
        parts = [_INTRODUCTION]
        for log in LOGS:
            parts += _section(log, by_config)
            for picture in log.pictures:
                if picture.config in by_config and (
                    spec := picture.spec(by_config[picture.config])
                ):
                    parts.append(self._drawn(picture, spec))
        self.text = "\n\n".join(parts) + "\n"

    def _drawn(self, picture: Picture, spec: Spec) -> str:
        name = re.sub(r"\W+", "_", f"{picture.config} {picture.caption}")[:80].strip("_")
        self.pictures[f"{name}.svg"] = svg(spec)
        part = picture.config.partition(":")[2]
        return f"`{part}`: {picture.caption}\n\n![{picture.caption}]({self.folder}/{name}.svg)"


def _section(log: Log, runs: Mapping[str, Run]) -> Iterator[str]:
    own = [run for name, run in runs.items() if name.partition(":")[0] == log.config]
    yield f"## {log.title}"
    yield log.about
    yield to_markdown(_reported(log, runs), level=3)
    yield to_markdown(_questions(log, runs), level=3)
    yield to_markdown(_trained(own), level=3)
    for run in own:
        yield from _run(run)


def _reported(log: Log, runs: Mapping[str, Run]) -> Table:
    columns = (
        "their model",
        "reported",
        "epochs",
        "ours, on test examples",
        "reached",
        "in",
        "note",
    )
    rows = tuple(
        (
            figure.model,
            f"{100 * figure.accuracy:g} %",
            units.UNKNOWN if figure.epochs is None else str(figure.epochs),
            *figure.ours(runs),
            figure.config.partition(":")[2],
            figure.note,
        )
        for figure in log.reported
    )
    note = (
        "Ours after as many epochs: of a model that the log names, the median of all our trials of it, "
        'least and most in brackets; of "the best", the trial first by validation, and its 95 % interval.'
    )
    return Table("Their figures and ours", tuple(map(Column, columns)), rows, note)


def _questions(log: Log, runs: Mapping[str, Run]) -> Table:
    rows = tuple((q.claim, *q.answer(runs)) for q in log.questions)
    return Table(
        "What was concluded", tuple(map(Column, ("claim", "over seeds", "evidence"))), rows
    )


def _trained(own: Iterable[Run]) -> Table:
    columns = (
        "part",
        "command",
        "trials",
        "of them",
        "wall time",
        "training",
        "test examples",
        "on",
    )
    rows = tuple(
        (
            run.config.partition(":")[2],
            run.command,
            _trials(run),
            _diagnoses(run),
            units.seconds(stats.totals(run.results).whole_s),
            units.seconds(stats.totals(run.results).train_s),
            units.count(run.test_examples),
            ", then ".join(machines(run.results)),
        )
        for run in own
    )
    return Table("What was trained", tuple(map(Column, columns)), rows, f"Of them: {RULE}")


def _trials(run: Run) -> str:
    counts = stats.totals(run.results).statuses
    return ", ".join(f"{units.count(n)} {status}" for status, n in counts.items())


def _diagnoses(run: Run) -> str:
    classes = stats.newest_run(run.results)["data"]["classes"]
    counts = Counter(diagnosis(record, classes) for record in run.results.trials.values())
    return ", ".join(f"{units.count(n)} {kind}" for kind, n in sorted(counts.items()))


def _run(run: Run) -> Iterator[str]:
    yield f"### {run.config.partition(':')[2]}"
    board = leaderboard(run.results, _TOP)
    yield to_markdown(board, level=4)
    models = seeds(run)
    if models.rows:
        yield to_markdown(models.head(_MOST_MODELS), level=4)
    found = effects(run)
    if found.rows:
        yield to_markdown(found, level=4)
    if layers := _layers(run):
        yield f"The layers of the best:\n\n```\n{layers}\n```"


def _layers(run: Run) -> str:
    """Shapes and parameters between the layers of the trial that ranks first."""
    best, data = run.results.best, stats.newest_run(run.results)["data"]
    if best is None:
        return ""
    look = data["preprocessing"]
    shape = (look["height"], look["width"], look["channels"])
    try:
        return table(summary(best.trial.layers(data["classes"]), shape))
    except ShapeError:
        return ""


def seeds(run: Run) -> Table:
    """Models that were trained with several seeds: the spread of their test accuracy."""
    found: dict[tuple, list[Any]] = defaultdict(list)
    for record in run.results.trials.values():
        settings = record.trial.settings
        found[tuple(sorted((k, v) for k, v in settings.items() if k != "seed"))].append(record)
    several = [records for records in found.values() if len(records) > 1]
    axes = [a for a in stats.newest_run(run.results).get("axes", ()) if a != "seed"]
    rows = []
    for records in several:
        known = [
            r.metrics["test_accuracy"]
            for r in records
            if r.metrics.get("test_accuracy") is not None
        ]
        if known:
            percent = [
                units.percent(a, run.test_examples) for a in (median(known), min(known), max(known))
            ]
            collapsed = sum(r.collapsed for r in records)
            setting = [units.setting(records[0].trial.settings.get(a)) for a in axes]
            rows.append((median(known), (*setting, str(len(known)), *percent, str(collapsed))))
    rows.sort(key=lambda row: row[0], reverse=True)
    numbers = ("seeds", "median", "least", "most", "collapsed")
    columns = (*map(Column, axes), *(Column(name, right=True) for name in numbers))
    note = "Test accuracy over the seeds of a model, best median first."
    return Table("Over seeds", columns, tuple(row for _, row in rows), note)
