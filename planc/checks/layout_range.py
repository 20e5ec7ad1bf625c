"""A layout that a value cannot have there.

A dim lies between -64 and 63, since torch's tensors have at most 64 dims. Nothing
is made partial by communication: a value leaves as `partial` only where the module
leaves sums undone, as `rowwise` does, or where it arrives so. A parameter is never
partial. Where a module has a style and `inputs(0: ...)`, the one takes what the other
hands it.

Wrong:

    mesh tp
    tensor tp {
        lm_head  colwise -> shard(100)
    }

Right:

    mesh tp
    tensor tp {
        lm_head  colwise -> shard(-1)
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.blocks.tensor import ParamLayout, Port, Rule
from planc.checks.walk import broken, of_type
from planc.ir.diagnostic import Diagnostic
from planc.ir.document import Place
from planc.ir.layout import MAX_DIMS, Layout, Named, Partial, Shard
from planc.ir.settled import Settings, Settled
from planc.styles import STYLES


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    for shard, place in of_type(settled, Shard):
        if not -MAX_DIMS <= shard.dim < MAX_DIMS:
            yield broken("R303", place.label(), f"no tensor has a dim {shard.dim}",
                         f"needed: a dim from -{MAX_DIMS} to {MAX_DIMS - 1}")  # fmt: skip
        if shard.parts != 1 and (shard.parts < 1 or not _is_parameter(place)):
            yield broken("R303", place.label(), f"no value is split in {shard.parts} parts here",
                         "needed: parts from 1 on, and only where a parameter is laid out, in params(...)")  # fmt: skip
    for port, place in of_type(settled, Port):
        if _partial(port.after, settled) and not _partial(port.before, settled):
            yield broken("R303", place.label("", "after"), "no communication makes a value partial",
                         f"got: {port.before} -> {port.after}",
                         "needed: shard(DIM) or replicate after '->'")  # fmt: skip
    for param, place in of_type(settled, ParamLayout):
        if _partial(param.layout, settled):
            yield broken("R303", place.label("", "layout"), f"parameter '{param.name}' cannot be partial",
                         "needed: shard(DIM) or replicate")  # fmt: skip
    for rule, place in of_type(settled, Rule):
        yield from _against_style(rule, place, settled)
        known = rule.style is None or rule.style in STYLES
        if (
            known
            and rule.output is not None
            and not _leaves_sums(rule, settled)
            and _partial(rule.output, settled)
        ):
            yield broken("R303", place.label("", "output"), f"{rule.style} leaves no sums undone",
                         "needed: shard(DIM) or replicate after '->'")  # fmt: skip


def _is_parameter(place: Place) -> bool:
    return len(place.path) > 2 and place.path[-3] == "params"


def _partial(layout: Layout, settled: Settled) -> bool:
    if isinstance(layout, Named):
        return isinstance(settled.layouts.get(layout.name), Partial)
    return isinstance(layout, Partial)


def _against_style(rule: Rule, place: Place, settled: Settled) -> Iterator[Diagnostic]:
    """`inputs(0: ...)` hands a styled module what its style does not take. Two shards may be
    one: which dim -1 is, only the model tells."""
    style = STYLES.get(rule.style or "")
    if style is None or style.input is None:
        return
    for i, port in enumerate(rule.inputs):
        given = settled.layouts.get(port.after.name) if isinstance(port.after, Named) else port.after
        if port.key == 0 and given is not None and type(given) is not type(style.input):
            yield broken("R303", place.label(f"hands it {given}", "inputs", i, "after"),
                         f"{style.name} does not take what its input is made",
                         f"needed: {style.input}")  # fmt: skip


def _leaves_sums(rule: Rule, settled: Settled) -> bool:
    """Whether sums may be pending where the module gives its result."""
    if rule.style == "rowwise":
        return True
    style = STYLES.get(rule.style or "")
    passes = style is not None and style.output is None
    return passes and rule.input is not None and _partial(rule.input, settled)
