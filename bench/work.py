"""How much of a sweep is done: epochs, each weighed by the arithmetic of its program."""

from collections.abc import Iterable

from bench.pool import Pool
from bench.record import TrialRecord
from bench.search import Sampler
from bench.trial import Trial


class Work:
    """What is done of a sweep, and what there is to do, in FLOPs of a forward pass times epochs.

    Trials of programs that train one after another differ in cost: counted alike, wide ones that come last
    would make the time left too short.

    Args:
        pool: whose programs train.
        sampler: who knows the trials.
    """

    def __init__(self, pool: Pool, sampler: Sampler):
        self._pool, self._sampler = pool, sampler
        self._done = 0.0
        self._planned = (0, 0.0)  # of how many known trials

    def begin(self, records: Iterable[TrialRecord]) -> None:
        """Counts anew what is recorded; trials that ended early have no more epochs to do."""
        self._done = 0.0
        for record in records:
            self.did(
                record.trial,
                record.epochs if record.status == "running" else record.trial["epochs"],
            )

    def did(self, trial: Trial, epochs: int) -> None:
        """A trial has done epochs, or has no more of them to do."""
        self._done += epochs * self._of_epoch(trial)

    @property
    def done(self) -> float:
        """With the epochs that have begun."""
        begun = (program.epochs_begun * program.plan.flops_per_example for program in self._pool)
        return self._done + sum(begun)

    @property
    def planned(self) -> float:
        """Of all trials that the sampler can name; counted again when there are more of them."""
        known = self._sampler.known
        if len(known) != self._planned[0]:
            total = sum(trial["epochs"] * self._of_epoch(trial) for trial in known)
            self._planned = len(known), total
        return self._planned[1]

    def _of_epoch(self, trial: Trial) -> float:
        home = self._pool.plan.home(trial)
        return home.flops_per_example if home else 0.0
