"""A name in an expression that is no axis, no option and no fact of the model.

planc could not decide a condition with it, and would skip whatever depends on the condition.
Facts are the numbers and switches of the model's configuration; a captured graph lists them.

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

from planc.bind.binding import Binding
from planc.checks import unknown_name
from planc.checks.no_match import is_other_model
from planc.checks.traversal import records_of_type
from planc.closest import closest_match, join_names
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import Expr
from planc.ir.resolved import Settings
from planc.ir.text_fixes import replacement_fix

_NO_FACTS = "facts: none in the graph; planc reads them off config, cfg, args, settings, hparams or params of the model"


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    resolved, facts = binding.resolved, binding.graph.facts
    declared = {*resolved.options, *(axis.name for axis in resolved.axes)}
    known = {*declared, *facts, *resolved.unparsed_words, *resolved.lets}
    unknown = [
        (name, location)
        for expr, location in records_of_type(resolved, Expr)
        for name in dict.fromkeys(expr.names())
        if name not in known and not unknown_name.typo_of(name, declared)
    ]
    if not unknown or is_other_model(binding):
        return
    for name, location in unknown:
        label = unknown_name.name_label(location, name, "not an axis, an option or a fact of the model")
        closest = closest_match(name, [*facts, *declared])
        note = f"facts: {join_names(facts, 12)}" if facts else _NO_FACTS
        yield diagnostic(
            "F616",
            label,
            f"there is no '{name}'",
            *[note] * (closest is None),
            fix=replacement_fix(label, closest),
        )
