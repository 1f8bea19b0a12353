"""`plan.json`: the plan of a sweep with what was decided since, so that who goes on computes the same.

What is planned follows from the space and from measured costs; how a program computes is chosen when it is
compiled. Both would come out differently another time. So neither is done twice for one run directory.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from bench import layers as kinds
from bench.costs import Costs, Machine, Workload
from bench.layers import Layer, Layers
from bench.plan import Plan, ProgramPlan
from bench.record import SCHEMA, check_schema

# Of a program, what is chosen when it is compiled.
DECIDED = ("lanes", "strategy", "evaluation_batch", "lowerings", "thorough")
_KINDS = (
    kinds.Conv, kinds.MaxPool, kinds.AveragePool, kinds.GlobalPool, kinds.Dense, kinds.Activation,
    kinds.BatchNorm, kinds.LayerNorm, kinds.Dropout, kinds.Flatten, kinds.Branch, kinds.Residual,
    kinds.Blocks,
)  # fmt: skip
_BY_NAME: Mapping[str, type[Layer]] = {kind.__name__: kind for kind in _KINDS}


@dataclass(frozen=True)
class Blueprint:
    """A plan, what was decided of its programs, and where and how.

    Attributes:
        plan: as planned.
        decided: program id → those of `DECIDED`, for programs that have been compiled.
        flags: of the command line, that decide how a sweep is computed.
        machine: chip, devices, how many of them share a lane, and versions, for which it was decided.
    """

    plan: Plan
    decided: Mapping[str, Mapping[str, Any]]
    flags: Mapping[str, Any]
    machine: Mapping[str, Any]

    @property
    def devices(self) -> int:
        """How many were in use."""
        return self.plan.machine.devices * self.plan.machine.shares

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        programs = [
            {
                **program.to_json(),
                "layers": layers_to_json(program.layers),
                "decided": self.decided.get(program.id),
            }
            for program in self.plan.programs
        ]
        return {
            "schema": SCHEMA,
            "flags": dict(self.flags),
            "machine": dict(self.machine),
            "workload": asdict(self.plan.workload),
            "planned_for": asdict(self.plan.machine),
            "costs": asdict(self.plan.costs),
            "programs": programs,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Blueprint":
        """What `to_json` wrote.

        Raises:
            RecordError: it is of a newer schema.
            Exception: nearly any, where it is damaged.
        """
        check_schema(content["schema"], "plan.json")
        programs = content["programs"]
        workload = {**content["workload"], "image_shape": tuple(content["workload"]["image_shape"])}
        return cls(
            plan=Plan(
                tuple(map(_program, programs)),
                Workload(**workload),
                Machine(**content["planned_for"]),
                Costs(**content["costs"]),
            ),
            decided={
                program["id"]: {name: program["decided"][name] for name in DECIDED}
                for program in programs
                if program["decided"] is not None
            },
            flags=dict(content["flags"]),
            machine=dict(content["machine"]),
        )


def decisions(program: ProgramPlan) -> dict[str, Any]:
    """What was chosen of a program that has been compiled."""
    return {name: getattr(program, name) for name in DECIDED}


def _program(content: Mapping[str, Any]) -> ProgramPlan:
    values = {each.name: content[each.name] for each in fields(ProgramPlan)}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return replace(ProgramPlan(**values), layers=layers_from_json(content["layers"]))


def layers_to_json(layers: Layers) -> list[Any]:
    """Each layer as [its name, its fields]."""

    def told(value: Any) -> Any:
        if isinstance(value, Layer):
            return [type(value).__name__, {k: told(v) for k, v in vars(value).items()}]
        return [told(each) for each in value] if isinstance(value, tuple) else value

    return [told(layer) for layer in layers]


def layers_from_json(content: list[Any]) -> Layers:
    """The layers that `layers_to_json` wrote.

    Raises:
        ConfigError: a value that the layer refuses.
        KeyError, TypeError, ValueError: something else than layers.
    """

    def read(value: Any) -> Any:
        match value:
            case [str(name), dict(given)] if name in _BY_NAME:
                return _BY_NAME[name](**{k: read(v) for k, v in given.items()})
            case list():
                return tuple(map(read, value))
            case _:
                return value

    found = tuple(map(read, content))
    if not all(isinstance(layer, Layer) for layer in found):
        raise TypeError("not a list of layers")
    return found
