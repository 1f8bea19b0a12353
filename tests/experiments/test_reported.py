"""Their figures beside ours: which of our trials count, and when theirs is reached."""

import pytest

from bench.experiments.reported import Reported
from tests.experiments import made_up
from tests.experiments.made_up import accuracy

PART = "traffic.py:taper"


def ours(figure, settings, metrics, epochs=1):
    return figure.ours(made_up.run(PART, settings, metrics, epochs=epochs))


def test_of_a_named_model_every_trial_counts_at_the_logs_epoch():
    found = ours(
        Reported(PART, "", 0.9, epochs=2, settings={"units": 8}),
        [{"units": units, "seed": seed} for units in (8, 9) for seed in range(3)],
        lambda s, e: accuracy(0.8 + 0.05 * s["seed"] + (e - 2) / 10 if s["units"] == 8 else 0.99),
        epochs=3,
    )
    assert found == ("85.0 % in the median of 3, [80.0, 90.0]", "1 of 3")


def test_the_best_is_chosen_by_validation_not_by_test():
    found = ours(
        Reported(PART, "", 0.95),
        [{"seed": seed} for seed in range(3)],
        lambda s, _: {"valid_accuracy": s["seed"] / 10, "test_accuracy": 0.99 - s["seed"] / 10},
    )
    assert found == ("79.0 % [76.4, 81.4], first of 3", "no")


@pytest.mark.parametrize(
    ("theirs", "value", "reached"),
    [(0.978, 0.9775, "yes"), (0.978, 0.9774, "no"), (0.9901, 0.9900, "no"), (0.8, 0.7994, "no"),
     (1.0, 0.9994, "no"), (1.0, 1.0, "yes")],
)  # fmt: skip
def test_theirs_is_reached_to_the_digits_that_they_wrote(theirs, value, reached):
    found = ours(
        Reported(PART, "", theirs, settings={"seed": 0}), [{"seed": 0}], lambda *_: accuracy(value)
    )
    assert found[1] == reached


def test_other_figures_stand_beside_theirs():
    figure = Reported(PART, "", 0.5, settings={"seed": 0}, losses={"running_loss": 0.6459})
    told, _ = ours(figure, [{"seed": 0}], lambda *_: accuracy(0.5, running_loss=0.6))
    assert told.endswith("; running_loss 0.6000 (theirs 0.6459)")


def test_what_is_not_trained_is_said():
    assert Reported(PART, "", 0.5).ours({}) == ("not trained yet", "")
    early = Reported(PART, "", 0.5, epochs=9)
    assert ours(early, [{"seed": 0}], lambda *_: accuracy(0.5)) == ("not trained yet", "")


def test_of_a_collapsed_model_it_is_told_how_many_of_ours_are():
    figure = Reported(PART, "", 0.15, settings={"units": 8}, collapsed=True)
    trials = [{"units": 8, "seed": seed} for seed in range(3)]
    found = ours(
        figure, trials, lambda s, _: accuracy(0.1 + s["seed"] / 10, collapsed=s["seed"] < 1)
    )
    assert found[1] == "2 of 3; 1 collapsed too"
