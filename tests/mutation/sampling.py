"""Pieces of rules, drawn."""

from __future__ import annotations

from random import Random

from planc.ir.blocks import Part, Port
from planc.ir.expr import Const
from planc.ir.layout import PARTIAL, REPLICATE, Layout, LayoutRef, Shard
from planc.ir.plan import LayoutLet, Plan
from planc.ir.styles import STYLES


def sample_port(plan: Plan, rng: Random) -> Port:
    before = sample_layout(plan, rng)
    return Port(rng.choice((0, 0, 0, 0, 1, "hidden_states")), before, sample_layout(plan, rng, after=True))


def sample_parts(style: str, rng: Random) -> tuple[Part, ...]:
    return (Part(Const(rng.choice((2, 3)))),) if STYLES[style].takes_parts else ()


def sample_layout(plan: Plan, rng: Random, excluded: Layout | None = None, *, after: bool = False) -> Layout:
    """A layout that is not the other one; what plans say oftener is drawn oftener. `after` an arrow
    nothing becomes partial."""
    named = [LayoutRef(let.name) for let in plan.lets if isinstance(let, LayoutLet)]
    known: list[Layout] = [REPLICATE, REPLICATE, Shard(1), Shard(1), Shard(-1), Shard(-1), Shard(2), Shard(0)]
    known += [*named, *named]
    if not after:
        known.append(PARTIAL)
    return rng.choice([layout for layout in known if layout != excluded])
