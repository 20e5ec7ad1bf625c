"""The plan: the content of a `.plan` file, as frozen records. Its blocks are in `planc/ir/blocks.py`.

This is the schema. Text, JSON, YAML and Python are four ways to write it; its
JSON Schema is `planc schema`. Patterns, expressions and layouts are strings in
JSON and YAML, written as in the language.
"""

from __future__ import annotations

from typing import Annotated, Literal

from planc.ir.block_kinds import AnyBlock
from planc.ir.blocks import Block
from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import BoundedInt, Identifier, NonEmpty, SingleLine, TaggedUnion


class Axis(Record):
    """An axis of the device mesh."""

    name: Identifier
    """As `dp`, `tp`."""
    size: BoundedInt | Literal["auto"] | None = None
    """Devices along it; `auto`: those that the other axes leave; null: the user gives the size."""


class Mesh(Record):
    """The device mesh."""

    axes: Annotated[tuple[Axis, ...], NonEmpty()]
    """Outermost (slowest varying rank) first."""
    override: bool = False
    """Replace the mesh of the plan this one extends."""


class Option(Record):
    """A switch that the user of the plan may set, with its default."""

    name: Identifier
    value: bool | BoundedInt
    override: bool = False
    """Replace the default of the extended plan."""


class PatternLet(Record):
    """A name for a pattern; patterns may start with it."""

    name: Identifier
    pattern: Pattern
    override: bool = False
    kind: Literal["pattern"] = "pattern"


class LayoutLet(Record):
    """A name for a layout, or for one of two."""

    name: Identifier
    layout: Layout
    when: Expr | None = None
    """Where this is false, `otherwise` holds."""
    otherwise: Layout | None = None
    override: bool = False
    kind: Literal["layout"] = "layout"


class Require(Record):
    """A condition that must hold of axes, options and the model's facts."""

    condition: Expr
    why: SingleLine | None = None
    """Shown where it fails."""


class Accept(Record):
    """A violation of a law that is meant, at some modules: it is reported as accepted, and does not refute the plan."""

    code: Identifier
    """Of the law, as `L709`."""
    pattern: Pattern
    """The modules whose own code has the violation."""
    reason: SingleLine
    """Why it is meant."""


Let = Annotated[PatternLet | LayoutLet, TaggedUnion("kind")]


class Plan(Record):
    """A parallelism plan."""

    name: Identifier | None = None
    extends: SingleLine | None = None
    """A file next to this one, or the name of a plan that planc ships."""
    model: SingleLine | None = None
    """The model that it is for: `hf:CLASS`, or a graph file."""
    mesh: Mesh | None = None
    options: tuple[Option, ...] = ()
    lets: tuple[Let, ...] = ()
    requires: tuple[Require, ...] = ()
    accepts: tuple[Accept, ...] = ()
    blocks: tuple[Annotated[Block, AnyBlock()], ...] = ()
