"""What is hunted: models with right plans, and what of both may be different."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

from planc.ir.plan import Plan
from planc.ir.source import Source
from planc.syntax.read_file import read_path, read_source
from planc.torch.capture.from_reference import capture_reference as captured
from tests.mutation.families import FAMILIES
from tests.mutation.flatten_extends import flatten_extends
from tests.mutation.mutants import mutants
from tests.mutation.variants import Case, Family, Variant, model_variants

capture = cache(captured)


class NetFamily(Family):
    """A plain module: its variants are factories of their own."""

    text: str = ""
    """The plan."""

    def reference(self, changed: str = "") -> str:
        """The factory of a variant."""
        return changed or self.model


def bases() -> dict[str, Family]:
    """All that is hunted, by name: the shipped families at small sizes, and plain modules."""
    from tests.hunt.nets import NETS, VARIANTS

    nets = {}
    for name, net in NETS.items():
        # The longest name wins: `tied` is a net, and `tied_scaled` no variant of another.
        own = [
            v
            for key, v in VARIANTS.items()
            if max((n for n in NETS if key.startswith(f"{n}_")), key=len) == name
        ]
        nets[name] = NetFamily(
            name, net.reference, alternatives=tuple(v.reference for v in own), text=net.plan
        )
    return dict(FAMILIES) | nets


def base_plan(family: Family) -> Plan:
    """The plan of a family, with all that it extends."""
    if isinstance(family, NetFamily):
        return flatten_extends(read_source(Source(f"{family.plan}.plan", family.text)))
    return flatten_extends(read_path(family.plan))


CASES_PER_VARIANT = 40
"""Cases of one variant of a model: the plan as it is, and mutants of it."""


def variants_of(name: str, seed: int, count: int) -> list[Variant]:
    """Models, meshes and options of a family, drawn with a seed; the first ones do not depend on the count."""
    family = bases()[name]
    known = list(model_variants(family, base_plan(family)))
    Random(f"{seed}:{name}").shuffle(known)
    return known[:count]


def cases_of(name: str, seed: int, number: int, draws: int = CASES_PER_VARIANT) -> Iterator[Case]:
    """The cases of the variant with this number."""
    family, variant = bases()[name], variants_of(name, seed, number + 1)[number]
    own = seed * 1000 + number
    yield Case(family, variant, own, None)
    graph, plan = capture(variant.reference), base_plan(family)
    for mutant in mutants(plan, graph, own, count=draws - 1):
        yield Case(family, variant, own, mutant)
