"""A layout that is neither a keyword nor a `let`.

Layouts are replicate, shard(DIM), partial, and the names of layout lets.

Wrong:

    mesh tp
    let stream = shard(1)
    tensor tp {
        model.down_proj  rowwise -> strem
    }

Right:

    mesh tp
    let stream = shard(1)
    tensor tp {
        model.down_proj  rowwise -> stream
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.traversal import records_of_type
from planc.closest import closest_match, join_names
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.layout import KEYWORD_LAYOUTS, LayoutRef
from planc.ir.resolved import Resolved, Settings
from planc.ir.text_fixes import replacement_fix


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for layout, location in records_of_type(resolved, LayoutRef):
        name = layout.name
        if name in resolved.layouts or name in resolved.unparsed_words:
            continue
        if name in resolved.patterns:
            yield diagnostic("N108", location.label("a pattern"), f"'{name}' names a pattern, not a layout",
                         secondary=(resolved.lets[name].location.label("declared here"),))  # fmt: skip
            continue
        label = location.label("no such layout")
        known = [*resolved.layouts, *KEYWORD_LAYOUTS, "shard(DIM)"]
        closest = closest_match(name, [*resolved.layouts, *KEYWORD_LAYOUTS])
        yield diagnostic("N104", label, f"there is no layout '{name}'", f"needed: {join_names(known)}",
                     fix=replacement_fix(label, closest))  # fmt: skip
