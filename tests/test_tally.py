"""How far programs are, counted along, is what counting all trials anew gives."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bench.record import METRICS, Results
from bench.tally import Tally
from bench.trial import Trial

ENDS = ("", "completed", "diverged", "failed", "pruned", "paused")
TRIALS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 4), st.sampled_from(ENDS), st.booleans())
)


def events(trials):
    for seed, (epochs, trained, end, other) in enumerate(trials):
        trial = Trial.create({"seed": seed, "epochs": epochs}, {})
        yield {"event": "trial", **trial.to_json(), "program": "pq"[other], "parameters": 1}
        for epoch in range(1, min(trained, epochs) + 1):
            metrics = dict.fromkeys(METRICS, 0.5)
            yield {"event": "epoch", "trial": trial.id, "epoch": epoch, "step": epoch, "collapsed": False,
                   **metrics}  # fmt: skip
        if end:
            yield {"event": "end", "trial": trial.id, "status": end, "seconds": 1.0}


def counted(results):
    begun, ended, epochs, done = (Counter() for _ in range(4))
    for record in results.trials.values():
        over = record.status in ENDS[1:5]
        begun[record.program] += 1
        ended[record.program] += over
        epochs[record.program] += record.trial["epochs"]
        done[record.program] += record.trial["epochs"] if over else record.epochs
    return {p: Tally(begun[p], ended[p], epochs[p], done[p]) for p in begun}


@given(TRIALS, st.sampled_from([None, True, False]))
def test_counted_along_as_anew(trials, resumes):
    results = Results()
    for event in events(trials):
        results.add(event)
    if resumes is not None:  # a process begins, with or without a checkpoint
        results.add({"event": "run", "data": {"valid": 1}, "resumes": resumes})
    assert results.tallies == counted(results)
    assert set(results.ended) <= set(results.trials)


def test_the_share_counts_trials_to_come_as_those_that_began():
    tally = Tally(begun=2, ended=1, epochs=8, done=6)
    assert tally.share(2) == 0.75
    assert tally.share(4) == 0.375
    assert Tally().share(4) == 0
