"""A plan that is checked against the graph of another model.

Hardly any of its patterns match a module, for more than one reason. planc reports this once
instead of each pattern, because most likely the wrong graph was named.

Wrong (planc check --model tiny-gpt.graph.json.gz --tp 2):

    model "hf:LlamaForCausalLM"
    mesh tp
    tensor tp {
        model.embed_tokens                 rowwise
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
        model.norm                         replicate
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    model "hf:LlamaForCausalLM"
    mesh tp
    tensor tp {
        model.embed_tokens                 rowwise
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
        model.norm                         replicate
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.checks.no_match import is_other_model, unmatched_patterns
from planc.closest import join_names
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    unmatched = unmatched_patterns(binding)
    if not is_other_model(binding, unmatched):
        return
    resolved, graph = binding.resolved, binding.graph
    location = resolved.model.location if resolved.model else resolved.blocks[unmatched[0].block].location
    is_line = resolved.model and resolved.model.location.path == ("model",)
    label = location.label("", *(() if is_line or not resolved.model else ("model",)))
    patterns = list(dict.fromkeys(str(each.pattern) for each in unmatched))
    yield diagnostic("F600", label, f"this plan is not for the model {graph.model}",
                 f"got: modules {join_names(binding.root.children)}",
                 f"needed: modules {', '.join(patterns[:3])}",
                 "help: name the graph of the model that the plan is for")  # fmt: skip
