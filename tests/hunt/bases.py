"""What is hunted: models, right plans for them, and meshes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planc.ir.graph import ModelGraph
from planc.ir.plan import Plan
from planc.ir.settled import Settings
from planc.ir.source import Source
from planc.read import read_path, read_source
from tests.judge import plans
from tests.judge.families import FAMILIES
from tests.judge.pair import ROOT

MESHES: tuple[Mapping[str, int], ...] = ({"dp": 1, "tp": 2}, {"dp": 1, "tp": 4}, {"dp": 2, "tp": 2})


@dataclass(frozen=True)
class Base:
    """A model, and where its plan comes from."""

    name: str
    reference: str
    text: str | None = None
    """The plan; None: the shipped one of this name."""

    def plan(self, graph: ModelGraph, *, split: bool) -> Plan:
        """The plan, with the sequence split or whole.

        Base plans are worked in: there would be nothing to change in a plan that only extends another.
        """
        if self.text is not None:
            return _with_option(read_source(Source(self.name, self.text)).plan, split=split)
        path = str(ROOT / "plans" / f"{self.name}.plan")
        plan = read_path(path).plan
        if plan.extends is None:
            return _with_option(plan, split=split)
        lines = plans.flat(path, graph.facts, {"sequence_parallel": split})
        return read_source(Source(self.name, plans.text_of(lines))).plan


def _with_option(plan: Plan, *, split: bool) -> Plan:
    options = tuple(
        type(option)(option.name, split) if option.name == "sequence_parallel" else option
        for option in plan.options
    )
    return type(plan)(**{**vars(plan), "options": options})


def settings(mesh: Mapping[str, int]) -> Settings:
    """What the command line would say."""
    return Settings(dict(mesh))


def bases() -> dict[str, Base]:
    """All that is hunted, by name: the shipped families at small sizes, and plain modules."""
    from tests.hunt.nets import NETS

    found = {name: Base(name, family.reference) for name, family in FAMILIES.items()}
    return found | {name: Base(name, net.reference, net.plan) for name, net in NETS.items()}
