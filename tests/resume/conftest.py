import pytest

from bench.record import read_journal
from tests.resumed import cache, sweep  # noqa: F401


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run directory of a sweep without a break, and how many dispatches it took."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    sweep(workdir)
    events = read_journal(workdir / "journal.jsonl")
    return workdir, sum(event["event"] == "train" for event in events)
