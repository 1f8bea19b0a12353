"""What a checkpoint holds: everything that decides the future of a sweep, taken and brought back.

The states of all seats, where each is, who waits, whose turn it is, and the sampler's state. Random numbers
are functions of seed, epoch, step and purpose (`bench.draws`): there are none to save.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.checkpoint import Saved
from bench.data import Dataset
from bench.errors import brief
from bench.parked import Parked
from bench.pool import Pool
from bench.program import Program, seat_of
from bench.record import RecordError, TrialRecord
from bench.search import Sampler
from bench.trial import Trial

States = Mapping[str, Mapping[str, np.ndarray]]  # program id → dtype → (seats, numbers) array


def take(pool: Pool, sampler: Sampler) -> tuple[dict[str, Any], States]:
    """The sweep as it is now, as JSON and as arrays on the host, which are copies."""
    programs, states = {}, {}
    for program in pool:
        about, parked = program.saved()
        if about["seats"] or about["waiting"]:
            programs[program.plan.id] = {**about, "layout": parked[0].layout if parked else ""}
            dtypes = parked[0].numbers if parked else ()
            states[program.plan.id] = {
                dtype: np.stack([state.numbers[dtype] for state in parked]) for dtype in dtypes
            }
    return {"turn": pool.turn, "sampler": sampler.state(), "programs": programs}, states


def bring_back(
    saved: Saved,
    pool: Pool,
    sampler: Sampler,
    trials: Mapping[str, TrialRecord],
    dataset: Dataset,
) -> None:
    """Puts a sweep where a checkpoint has it: who was in a lane waits, parked where he was.

    Args:
        saved: the checkpoint.
        pool: nobody is in its lanes, nobody waits.
        sampler: is told where it was.
        trials: those that have begun, by id.
        dataset: what they train on.

    Raises:
        RecordError: the checkpoint is of another plan.
    """
    try:
        sampler.restore(saved.about["sampler"])
        pool.turn = saved.about["turn"]
        for name, about in saved.about["programs"].items():
            program, states = pool[name], saved.arrays.get(name, {})
            for place, seat in enumerate(about["seats"]):
                numbers = {dtype: rows[place] for dtype, rows in states.items()}
                state = Parked(about["layout"], numbers)
                _resume(program, trials[seat["trial"]].trial, seat, state, dataset)
            program.waiting.extend(map(Trial.from_json, about["waiting"]))
    except Exception as error:  # whatever a key that is missing, or of another type, leads to
        raise RecordError(
            f"checkpoint {saved.number} does not belong to plan.json ({type(error).__name__}: "
            f"{brief(error)}); delete the folder checkpoints to start unfinished trials again"
        ) from error


def _resume(
    program: Program, trial: Trial, about: Mapping[str, Any], state: Parked, dataset: Dataset
) -> None:
    seat = seat_of(trial, dataset)
    seat.epoch, seat.first, seat.seconds = about["epoch"], about["first"], about["seconds"]
    seat.parked = state
    program.waiting.append(seat)
