"""A parameter that belongs to no FSDP unit.

Every rank would keep it in full, and nothing would reduce its gradient over the axis: the
ranks would drift apart without notice. The unit `root` takes all parameters that belong to no
other unit.

Wrong (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
    }

Right (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule
from planc.bind.module_groups import propagate, qualified_name
from planc.checks.no_match import unmatched_patterns
from planc.closest import join_names
from planc.ir.blocks import Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings
from planc.ir.text_fixes import insert_lines_fix


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    blocks_with_misses: set[int] | None = None
    for number, block in binding.resolved.active_blocks_of(Unit):
        if not block.entries:
            continue

        def is_in_unit(taken: bool, bound: BoundModule, number: int = number) -> bool:
            return taken or number in bound.entries

        left = [
            group
            for group in propagate(binding, False, is_in_unit)
            if not is_in_unit(group.context, group.bound) and group.bound.module.parameters
        ]
        # A pattern that matches nothing explains why parameters are in no unit.
        if blocks_with_misses is None and left:
            blocks_with_misses = {miss.block for miss in unmatched_patterns(binding)}
        if left and number not in (blocks_with_misses or ()):
            names = [
                qualified_name(group.name, name) for group in left for name in group.bound.module.parameters
            ]
            count = sum(group.count * len(group.bound.module.parameters) for group in left)
            last = block.entries[-1].location.label()
            yield diagnostic("F613", block.axes[0].location.label("lacks a unit for some parameters"),
                         f"{count} parameter{'s' * (count > 1)} in no unit",
                         f"left: {join_names(names)}", "needed: a unit that contains each of them, or root",
                         fix=insert_lines_fix(last, ["root"], "add the unit 'root'"),
                         module=left[0].name)  # fmt: skip
