"""Trials, data and machines that tests plan with."""

from typing import Any

from hypothesis import strategies as st

from bench.plan import Machine, Plan, ProgramPlan, Workload
from bench.trial import Trial

DIGITS = Workload((8, 8, 1), 10, 1000, 300)
MNIST = Workload((28, 28, 1), 10, 60_000)
CPU = Machine("cpu", 2, 8 << 30)
GPU = Machine("gpu", 1, 80 << 30)
CORE = Machine("cpu", 1, 8 << 30)


def trial(**given: Any) -> Trial:
    return Trial.create(given, {"data": "x"})


def one(found: Plan) -> ProgramPlan:
    assert len(found.programs) == 1
    return found.programs[0]


MACHINES = st.sampled_from((CPU, GPU, Machine("cpu", 1, 8 << 30, compilers=2)))
