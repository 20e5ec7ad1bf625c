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
    misses = unmatched_patterns(binding)
    if not is_other_model(binding, misses):
        return
    settled, graph = binding.resolved, binding.graph
    place = settled.model.location if settled.model else settled.blocks[misses[0].block].location
    named = settled.model and settled.model.location.path == ("model",)
    label = place.label("", *(() if named or not settled.model else ("model",)))
    patterns = list(dict.fromkeys(str(miss.pattern) for miss in misses))
    yield diagnostic("F600", label, f"this plan does not fit the model, {graph.model}",
                 f"got: modules {join_names(binding.root.children)}",
                 f"needed: modules {', '.join(patterns[:3])}",
                 "help: name the graph of the model that the plan is for")  # fmt: skip
