"""Neighbours of a plan on neighbours of its model: other heads, widths and ties, meshes and options."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from random import Random

from planc.ir.expr import format_value
from planc.ir.graph import ModelGraph
from planc.ir.plan import Plan
from planc.ir.record import Record
from tests.mutation.mutants import mutants
from tests.mutation.records import Change, Mutant

MESHES: tuple[Mapping[str, int], ...] = ({"dp": 1, "tp": 2}, {"dp": 1, "tp": 4}, {"dp": 2, "tp": 2})
UNCHANGED_SHARE = 0.05
"""Of the cases, the share with the plan as it is."""


class Family(Record):
    """A plan, the model that it is held against, and what of the model may be different."""

    plan: str
    """A file, or the name of a shipped plan."""
    model: str
    """As `hf:LlamaForCausalLM`."""
    settings: str = ""
    """Of the model, as `hidden_size=64&num_hidden_layers=2`."""
    alternatives: tuple[str, ...] = ()
    """Settings that may take the place of these, one text at a time."""
    meshes: tuple[Mapping[str, int], ...] = MESHES

    def reference(self, changed: str = "") -> str:
        """The model with some settings changed."""
        assigned = dict(_parse_settings(self.settings)) | dict(_parse_settings(changed))
        query = "&".join(f"{name}={value}" for name, value in assigned.items())
        return f"{self.model}?{query}" if query else self.model


def _parse_settings(settings: str) -> Iterator[tuple[str, str]]:
    for one in settings.split("&") if settings else ():
        name, _, value = one.partition("=")
        yield name, value


class Variant(Record):
    """A model, a mesh, and values of a plan's options."""

    reference: str
    sizes: Mapping[str, int]
    options: Mapping[str, bool]
    changes: tuple[Change, ...] = ()
    """What is not as the family says: settings of the model."""


class Case(Record):
    """A variant with a mutant of the plan; or with the plan as it is."""

    family: Family
    variant: Variant
    seed: int
    mutant: Mutant | None

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that is changed, of the model and of the plan."""
        return (*self.variant.changes, *(self.mutant.changes if self.mutant else ()))

    @property
    def command(self) -> str:
        """The one line that shows the case again."""
        mesh = ",".join(f"{axis}={size}" for axis, size in self.variant.sizes.items())
        options = [f"--set={name}={format_value(value)}" for name, value in self.variant.options.items()]
        words = [self.family.plan, f"--model={self.variant.reference}", f"--mesh={mesh}", *options]
        if self.mutant is None:
            return shlex.join(["planc", "check", *words])
        number = [f"--seed={self.seed}", f"--only={self.mutant.number}", "--check"]
        return shlex.join(["python", "-m", "tests.mutation", *words, *number])


def model_variants(family: Family, plan: Plan) -> tuple[Variant, ...]:
    """The model as it is and with each of its settings changed, on each mesh, with each value of the plan's
    switches."""
    switches = [option.name for option in plan.options if isinstance(option.value, bool)]
    values = [dict(zip(switches, assigned)) for assigned in product((True, False), repeat=len(switches))]
    models = [
        (family.reference(), ()),
        *((family.reference(v), (Change("model", v),)) for v in family.alternatives),
    ]
    return tuple(
        Variant(reference, sizes, options, changes)
        for reference, changes in models
        for sizes in family.meshes
        for options in values
    )


def sample_cases(
    family: Family,
    plan: Plan,
    graph_of: Callable[[str], ModelGraph],
    seed: int,
    *,
    count: int,
) -> Iterator[Case]:
    """Variants of a family, each with a mutant of its plan; no two mutants of one model are the same.

    Args:
        family: what may vary.
        plan: that of the family, with all that it extends.
        graph_of: captures the model of a reference; it is asked once for each.
        seed: of the draws; case n depends on these and on n alone.
        count: how many.
    """
    chance, known = Random(seed), model_variants(family, plan)
    drawn: dict[str, Iterator[Mutant]] = {}
    for _ in range(count):
        variant = chance.choice(known)
        if variant.reference not in drawn:
            drawn[variant.reference] = mutants(plan, graph_of(variant.reference), seed)
        mutant = None if chance.random() < UNCHANGED_SHARE else next(drawn[variant.reference], None)
        yield Case(family, variant, seed, mutant)
