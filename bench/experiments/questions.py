"""What the logs concluded, as questions that our runs answer over seeds.

A log trained each model once: it cannot tell a better model from a luckier seed. Here settings are compared
trial by trial, equal in all else, and the seed is the unit: of how many, and how sure.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple, Protocol

from scipy.stats import spearmanr
from scipy.stats import t as student

from bench.experiments.runs import Run, Side, Trained
from bench.report import units


class Answer(NamedTuple):
    """To a question: a word or two, and the numbers behind it."""

    verdict: str
    evidence: str


NOT_TRAINED = Answer("not trained yet", "")
ONE_SEED = "one seed cannot say"


class Question(Protocol):
    """Something that runs can answer.

    Attributes:
        claim: what a log concluded, or what is asked of it, in words.
        sides: the trials that it is about.
    """

    @property
    def claim(self) -> str: ...

    @property
    def sides(self) -> tuple[Side, ...]: ...

    def answer(self, runs: Mapping[str, Run]) -> Answer: ...


@dataclass(frozen=True)
class Better:
    """Is test accuracy better on one side than on another, all else equal?

    Every trial of a side is held against the one of the other with the same settings but those that define
    the sides. Differences are averaged by seed; the interval is Student's over the seeds, at 95 %.
    """

    claim: str
    worse: Side
    better: Side

    @property
    def sides(self) -> tuple[Side, ...]:
        return self.worse, self.better

    def answer(self, runs: Mapping[str, Run]) -> Answer:
        """Holds, if the interval lies above zero; the opposite, if below."""
        examples = runs[self.worse.config].test_examples if self.worse.config in runs else None
        worse, better = (self._by_rest(side.trained(runs)) for side in (self.worse, self.better))
        by_seed: dict[Any, list[float]] = defaultdict(list)
        for rest in worse.keys() & better.keys():
            by_seed[dict(rest).get("seed")].append(better[rest] - worse[rest])
        if not by_seed:
            return NOT_TRAINED
        differences = [fmean(values) for values in by_seed.values()]
        pairs = sum(map(len, by_seed.values()))
        mean, half = fmean(differences), _half_interval(differences)
        told = f"{100 * mean:+.2f} points"
        if half is not None:
            told += f" [{100 * (mean - half):+.2f}, {100 * (mean + half):+.2f}]"
        won = sum(value > 0 for value in differences)
        told += f"; better in {won} of {len(differences)} seeds, {pairs:,} pairs of trials"
        if examples:
            told += f"; one test picture is {100 / examples:.2f}"
        if half is None:
            return Answer(ONE_SEED, told)
        return Answer(
            "holds" if mean > half else "the opposite" if -mean > half else "not shown", told
        )

    def _by_rest(self, trials: Iterable[Trained]) -> dict[tuple, float]:
        sides = {*self.worse.settings, *self.better.settings}
        return {
            tuple(
                sorted((k, v) for k, v in trial.settings.items() if k not in sides)
            ): trial.accuracy
            for trial in trials
            if trial.accuracy is not None
        }


def _half_interval(values: list[float]) -> float | None:
    """Half of Student's 95 % interval of a mean; None of one value."""
    n = len(values)
    if n < 2:
        return None
    return float(student.ppf(0.975, n - 1) * stdev(values) / math.sqrt(n))


@dataclass(frozen=True)
class _OneSide:
    """A question about trials of one kind."""

    claim: str
    side: Side

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.side,)


@dataclass(frozen=True)
class Ranking(_OneSide):
    """Do models rank after few epochs as they rank at the end? By accuracy on the split that ranks."""

    epoch: int

    def answer(self, runs: Mapping[str, Run]) -> Answer:
        """By Spearman's rank correlation over models, each the mean of its seeds: 0.8 and more holds."""
        early, late = (
            _over_seeds(self.side.trained(runs, e), lambda t: t.rank[0]) for e in (self.epoch, None)
        )
        models = [model for model in late if model in early]
        if len(models) < 3:
            return NOT_TRAINED
        rho = float(spearmanr([early[m] for m in models], [late[m] for m in models]).statistic)
        leader = max(models, key=lambda m: early[m])
        place = 1 + sum(late[m] > late[leader] for m in models)
        told = (
            f"Spearman's rho {rho:.2f} over {len(models)} models; who leads after {self.epoch} epochs "
            f"is number {place} at the end"
        )
        return Answer("holds" if rho >= 0.8 else "in part" if rho >= 0.5 else "does not hold", told)


@dataclass(frozen=True)
class Prefers(_OneSide):
    """Which value of one axis is best at each value of another? By accuracy on the split that ranks."""

    at: str
    of: str
    expected: Mapping[Any, Any]  # some values of `at` → the best of `of` there, as claimed

    def answer(self, runs: Mapping[str, Run]) -> Answer:
        """Holds, if what is expected is the best by the mean of all seeds, wherever it is expected."""
        cells: dict[Any, dict[Any, dict[Any, float]]] = defaultdict(lambda: defaultdict(dict))
        for trial in self.side.trained(runs):
            place = (trial.settings[self.at], trial.settings[self.of])
            cells[place[0]][trial.settings.get("seed")][place[1]] = trial.rank[0]
        if not all(level in cells for level in self.expected):
            return NOT_TRAINED
        told, right = [], True
        for level in sorted(cells):
            seeds = list(cells[level].values())
            best = max(seeds[0], key=lambda value: fmean(s.get(value, 0.0) for s in seeds))
            won = sum(max(s, key=s.__getitem__) == best for s in seeds)
            told.append(
                f"{units.setting(level)}: {units.setting(best)} ({won} of {len(seeds)} seeds)"
            )
            right &= self.expected.get(level, best) == best
        evidence = f"the best {self.of} at each {self.at}: {'; '.join(told)}"
        return Answer("holds" if right else "does not hold", evidence)


@dataclass(frozen=True)
class Collapses(_OneSide):
    """Do these trials answer with one class throughout?"""

    def answer(self, runs: Mapping[str, Run]) -> Answer:
        """Holds, if all of them do."""
        found = self.side.trained(runs)
        if not found:
            return NOT_TRAINED
        bad = sum(trial.collapsed for trial in found)
        known = [trial.accuracy for trial in found if trial.accuracy is not None]
        told = f"{bad} of {len(found)} collapsed at the end"
        if known:
            told += f"; test accuracies {100 * min(known):.1f} to {100 * max(known):.1f} %"
        verdict = "holds" if bad == len(found) else "does not hold" if not bad else "in part"
        return Answer(verdict, told)


@dataclass(frozen=True)
class RunningMean(_OneSide):
    """Is a training loss above the test loss more than a mean that began before the net had learnt?"""

    epoch: int

    def answer(self, runs: Mapping[str, Run]) -> Answer:
        """Holds, if it is above only as a running mean, and not once it is measured after the epoch."""
        found = [t for t in self.side.trained(runs, self.epoch) if t.accuracy is not None]
        if not found:
            return NOT_TRAINED
        running, train, test = (
            fmean(trial.metrics[f"{part}_loss"] for trial in found)
            for part in ("running", "train", "test")
        )
        above = sum(t.metrics["running_loss"] > t.metrics["test_loss"] for t in found)
        after = sum(t.metrics["train_loss"] > t.metrics["test_loss"] for t in found)
        told = (
            f"after epoch {self.epoch} the running mean is {running:.4f}, the loss on training pictures "
            f"measured then {train:.4f}, on test pictures {test:.4f}; above the test loss in {above} of "
            f"{len(found)} trials as a running mean, in {after} as measured"
        )
        return Answer("holds" if above and not after else "not shown", told)


def _over_seeds(trials: Iterable[Trained], number: Any) -> dict[tuple, float]:
    """Model → the mean of a number over its seeds."""
    found: dict[tuple, list[float]] = defaultdict(list)
    for trial in trials:
        model = tuple(sorted((k, v) for k, v in trial.settings.items() if k != "seed"))
        found[model].append(number(trial))
    return {model: fmean(values) for model, values in found.items()}
