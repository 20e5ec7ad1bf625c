"""A plan that is held against the graph of another model.

Hardly one of its patterns matches a module, and for more than one reason. It is said
once, not pattern by pattern: most likely the wrong graph was named.

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

from planc.checks.no_match import is_other, unmatched
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.settled import Settings
from planc.near import listed
from planc.resolve.bind import Binding


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    misses = unmatched(binding)
    if not is_other(binding, misses):
        return
    settled, graph = binding.settled, binding.graph
    place = settled.model.place if settled.model else settled.blocks[misses[0].block].place
    named = settled.model and settled.model.place.path == ("model",)
    label = place.label("", *(() if named or not settled.model else ("model",)))
    patterns = list(dict.fromkeys(str(miss.pattern) for miss in misses))
    yield broken("F600", label, f"this plan does not fit the model, {graph.model}",
                 f"got: modules {listed(binding.root.children)}",
                 f"needed: modules {', '.join(patterns[:3])}",
                 "help: name the graph of the model that the plan is for")  # fmt: skip
