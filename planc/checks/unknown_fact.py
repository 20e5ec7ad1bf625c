"""A name in an expression that is no axis, no option, and no fact of the model.

A condition on it cannot be decided, so what depends on it would be passed over. Facts
are the numbers and switches of the model's configuration; a captured graph lists them.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    require num_heads % tp == 0
    tensor tp {
        model.norm  replicate
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    require num_attention_heads % tp == 0
    tensor tp {
        model.norm  replicate
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks import unknown_name
from planc.checks.no_match import is_other
from planc.checks.walk import broken, of_type
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.expr import Expr
from planc.ir.settled import Settings
from planc.near import listed, nearest
from planc.resolve.bind import Binding


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    settled, facts = binding.settled, binding.graph.facts
    own = {*settled.options, *(axis.name for axis in settled.axes)}
    passed_over = {*own, *facts, *settled.lost, *settled.lets}
    unknown = [
        (name, place)
        for expr, place in of_type(settled, Expr)
        for name in dict.fromkeys(expr.names())
        if name not in passed_over and not unknown_name.meant(name, own)
    ]
    if not unknown or is_other(binding):
        return
    for name, place in unknown:
        label = unknown_name.label_of(place, name, "no axis, no option, no fact of the model")
        meant = nearest(name, [*facts, *own])
        note = f"facts: {listed(facts, 12)}" if facts else "facts: the graph has none"
        yield broken(
            "F616", label, f"there is no '{name}'", *[note] * (meant is None), fix=replace(label, meant)
        )
