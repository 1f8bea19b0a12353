"""Going on with a run: by its own plan where that is possible, and with trials that it did not have.

Nothing is planned or chosen twice (`bench.blueprint`), as long as the flags, the devices and the software are
those with which the run began. Where they are not, what they decide is chosen anew, and that is said: results
then agree with those of a run without a break to rounding, not to the bit.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import config as configs
from bench import files, search
from bench import space as spaces
from bench.blueprint import Blueprint
from bench.config import Settings
from bench.costs import Machine
from bench.errors import ConfigError, brief
from bench.plan import ProgramPlan
from bench.record import RecordError, Results, check_schema
from bench.trial import Trial

CONFIG = "config.json"
_MOST_BYTES = 1 << 24  # of a config
# How long a process may take is no part of what it does; windows of losses are told of by themselves.
_MAY_DIFFER = ("budget", "curve_every")


def adapted(
    old: Blueprint, flags: Mapping[str, Any], machine: Mapping[str, Any], where: Machine
) -> tuple[Blueprint, list[str]]:
    """A run's plan for this process, and what is different now, as `lanes: 8 there, 4 here`.

    Args:
        old: from `plan.json`.
        flags: of this process, as in `Blueprint`.
        machine: that this process runs on, as in `Blueprint`.
        where: the same, for the planner.
    """
    other = configs.differences(old.flags, flags)
    elsewhere = configs.differences(old.machine, machine)
    if not other and not elsewhere:
        return old, []

    def program(planned: ProgramPlan) -> ProgramPlan:
        # The lanes that fit are known best where it ran; what else was chosen is not for this machine.
        lanes = flags["lanes"] or old.decided.get(planned.id, {}).get("lanes", planned.lanes)
        lanes = -(-lanes // where.devices) * where.devices
        strategy = flags["strategy"]
        moved = planned if strategy == "auto" else planned.with_strategy(strategy)
        return replace(moved, lanes=lanes)

    plan = replace(old.plan, programs=tuple(map(program, old.plan.programs)), machine=where)
    return Blueprint(plan, {}, flags, machine), other + elsewhere


def short_of_memory(results: Results, kills: int | None) -> bool:
    """Whether the kernel seems to have killed the process before this one for want of memory.

    Args:
        results: of the run so far.
        kills: `host.memory_kills()` of now.
    """
    if results.finished is not None or not results.runs:
        return False
    before = results.runs[-1].get("memory_kills")
    return kills is not None and before is not None and kills > before


def with_fewer_lanes(blueprint: Blueprint) -> Blueprint:
    """The plan with half the lanes in every program that has been compiled; one on each device at least."""
    devices = blueprint.plan.machine.devices
    decided = {
        name: {**chosen, "lanes": max(devices, chosen["lanes"] // 2 // devices * devices)}
        for name, chosen in blueprint.decided.items()
    }
    return replace(blueprint, decided=decided)


def unplanned(blueprint: Blueprint, trials: Iterable[Trial]) -> list[Trial]:
    """Trials that a run has not been planned for: its space has grown."""
    return [trial for trial in trials if not blueprint.plan.knows(trial)]


def saved_config(workdir: Path) -> dict[str, Any] | None:
    """The config with which a run directory was begun; None where none was.

    Raises:
        RecordError: it cannot be read, or a newer Convoy wrote it.
    """
    path = workdir / CONFIG
    try:
        there = json.loads(files.content(path, _MOST_BYTES))
        schema = there["schema"]
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise RecordError(f"{workdir} is no directory; use another --workdir") from error
    except Exception as error:  # whatever a damaged or foreign file leads to
        raise RecordError(f"cannot read {path} ({brief(error)}); use another --workdir") from error
    check_schema(schema, str(workdir))
    return there


def check_config(
    there: Mapping[str, Any], here: Mapping[str, Any], settings: Settings, known: Iterable[Trial]
) -> None:
    """Refuses to go on with a run by a config that is not its own, or its own grown.

    A space has grown where all trials of the old one are among those of the new: values were added to an
    axis, an axis that starts from what was fixed, or trials to the number that is drawn.

    Args:
        there: as the run directory has it.
        here: as it would be written there now.
        settings: of which `here` was made.
        known: the trials of them.

    Raises:
        ConfigError: names the keys that differ.
    """
    if (every := there.get("curve_every", 0)) != here["curve_every"]:  # windows cannot be cut anew
        raise ConfigError(
            f"the run directory holds a run with --curve_every={ascii(every)[:20]}; give the same, or use "
            "another --workdir"
        )
    differing = configs.differences(_fixed(there), _fixed(here))
    if not differing:
        return
    # The identity of a trial holds whatever decides its result: data, precision, every hyperparameter.
    ids = {trial.id for trial in known}
    try:
        grown = all(trial.id in ids for trial in _trials(there, settings, here["fingerprint"]))
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError):  # of another version
        grown = False
    if not grown or there.get("fingerprint") != here["fingerprint"]:
        raise ConfigError(
            f"the run directory holds a run of another config ({'; '.join(differing[:5])}); add values "
            "to its axes or trials to its budget, or use another --workdir"
        )


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _MAY_DIFFER}


def _trials(config: Mapping[str, Any], settings: Settings, fingerprint: str) -> tuple[Trial, ...]:
    """The trials of a config that was saved, of this fingerprint and precision."""
    trial = {**dict.fromkeys(settings.trial), **config["trial"]}
    trial = {k: tuple(v) if isinstance(v, list) else v for k, v in trial.items()}
    space = {name: spaces.parse_axis(text) for name, text in config["space"].items()}
    identity = {"data": fingerprint, "precision": config["precision"]}
    return search.create(config["search"], trial, space, identity).known


def is_done(results: Results, known: Sequence[Trial]) -> bool:
    """Whether a run was finished, and its space has not grown since."""
    finished = results.finished is not None and results.finished["reason"] == "completed"
    return finished and all(trial.id in results.trials for trial in known)
