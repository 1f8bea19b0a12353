"""What became of a trial, by one stated rule."""

import math

from bench.record import TrialRecord

_LEARNED = 0.5  # of chance's loss: with more than this left on the training set, a trial underfits
_GAP = 0.05  # of chance's loss, between test and training
_RATIO = 1.5  # of test loss to training loss
RULE = (
    "In shares of ln C, the loss of guessing among C classes: underfitting, where the training loss is over "
    f"{_LEARNED:g}; else overfitting, where the test loss is over {_RATIO:g} times the training loss and "
    f"over {_GAP:g} above it; else it fits. Both losses are of the weights as they are, without dropout. "
    "Collapsed: one class is answered throughout. Diverged: the loss was no longer finite."
)


def diagnosis(record: TrialRecord, classes: int) -> str:
    """`collapsed`, `diverged`, `underfitting`, `overfitting`, `fits` or `unknown`.

    Losses are cross-entropies, so that ln C, which guessing among C classes costs, is how much there is to
    learn of a label, whatever the data. *Underfitting*: over half of that is left on the training examples
    themselves, measured without dropout. *Overfitting*: the test loss is over 1.5 times the training loss and
    over 0.05 ln C above it; the ratio alone would find it wherever a training loss goes to 0, the difference
    alone wherever little has been learned. *Collapsed*: one class is answered throughout. *Diverged*: a loss
    was not finite. *Unknown*: a loss is missing, as of a trial that failed.

    Args:
        record: the trial, as its last epoch left it.
        classes: C.
    """
    train, test = (record.metrics.get(f"{part}_loss") for part in ("train", "test"))
    if record.status == "diverged":
        return "diverged"
    if record.collapsed:
        return "collapsed"
    if train is None or test is None or classes < 2:
        return "unknown"
    train, test = train / math.log(classes), test / math.log(classes)
    if train > _LEARNED:
        return "underfitting"
    return "overfitting" if test > _RATIO * train and test - train > _GAP else "fits"
