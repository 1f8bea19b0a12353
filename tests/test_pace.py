"""When checkpoints are due, by a clock that the test moves."""

from hypothesis import given
from hypothesis import strategies as st

from bench.pace import SHARE, Pace

Seconds = st.floats(0.0, 1e4)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_cheap_ones_come_as_asked() -> None:
    clock = Clock()
    pace = Pace(30.0, 2, clock)
    assert not pace.due(0.0)
    clock.now += 30
    assert pace.due(0.0)
    pace.begin()
    clock.now += 0.1
    pace.held()
    assert not pace.due(0.2)
    clock.now += 29.9
    assert pace.due(0.2)


def test_dear_ones_come_as_rarely_as_their_share_allows() -> None:
    clock = Clock()
    pace = Pace(30.0, 2, clock)
    pace.begin()
    clock.now += 3.0
    pace.held()
    clock.now = 50.0 + (3.0 + 8.0 / 2) / SHARE - 0.01
    assert not pace.due(8.0)
    assert pace.due(7.9)
    clock.now += 0.02
    assert pace.due(8.0)


def test_every_dispatch_whatever_it_costs() -> None:
    clock = Clock()
    pace = Pace(0.0, 1, clock)
    pace.begin()
    clock.now += 1000.0
    pace.held()
    assert pace.due(1000.0)


@given(every=Seconds, held=Seconds, written=Seconds, cores=st.integers(1, 64))
def test_the_rule(every: float, held: float, written: float, cores: int) -> None:
    """As soon as it is due and not before, no more than `SHARE` of the time went into it."""
    clock = Clock()
    pace = Pace(every, cores, clock)
    pace.begin()
    clock.now += held
    pace.held()
    cost = (clock.now - 50.0 + written / cores) if every else 0.0
    wait = max(every, cost / SHARE)
    clock.now = 50.0 + wait * (1 - 1e-9) - 1e-6
    assert not pace.due(written) or wait == 0
    clock.now = 50.0 + wait * (1 + 1e-9) + 1e-6
    assert pace.due(written)
    assert cost <= SHARE * (clock.now - 50.0)
