"""Pieces of rules, drawn."""

from __future__ import annotations

from random import Random

from planc.blocks.tensor import Part, Port
from planc.ir.expr import Const
from planc.ir.layout import PARTIAL, REPLICATE, Layout, Named, Shard
from planc.ir.plan import LayoutLet, Plan
from planc.styles import STYLES


def draw_port(plan: Plan, chance: Random) -> Port:
    before = draw_layout(plan, chance)
    return Port(
        chance.choice((0, 0, 0, 0, 1, "hidden_states")), before, draw_layout(plan, chance, after=True)
    )


def draw_parts(style: str, chance: Random) -> tuple[Part, ...]:
    return (Part(Const(chance.choice((2, 3)))),) if STYLES[style].parts != "none" else ()


def draw_layout(plan: Plan, chance: Random, other: Layout | None = None, *, after: bool = False) -> Layout:
    """A layout that is not the other one; what plans say oftener is drawn oftener. `after` an arrow
    nothing becomes partial."""
    named = [Named(let.name) for let in plan.lets if isinstance(let, LayoutLet)]
    known: list[Layout] = [REPLICATE, REPLICATE, Shard(1), Shard(1), Shard(-1), Shard(-1), Shard(2), Shard(0)]
    known += [*named, *named]
    if not after:
        known.append(PARTIAL)
    return chance.choice([layout for layout in known if layout != other])
