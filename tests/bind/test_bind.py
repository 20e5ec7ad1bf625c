"""Where the modules of a model stand: sites, calls, and patterns that are followed."""

from __future__ import annotations

import pytest

from planc.bind.binding import Binding, bind
from planc.bind.module_calls import module_calls
from planc.bind.module_groups import module_groups, propagate
from planc.bind.partial_match import match_segments
from planc.bind.pattern_matcher import PatternMatcher
from planc.ir.graph import ModelGraph
from planc.ir.pattern import Pattern
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.resolve import resolve
from planc.syntax.read_file import read_source
from tests.graph import handwritten as graphs

PLAN = """
mesh dp, tp
tensor tp {
    model.layers.2.mlp.*_proj  replicate
}
fsdp dp {
    model.layers.{0,3}
    root
}
"""


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    return graphs.tiny_llama()


@pytest.fixture(scope="module")
def binding(graph: ModelGraph) -> Binding:
    return bind(resolve(read_source(Source("p.plan", PLAN)), Settings(), graph.facts), graph)


def test_sites_stand_for_every_module_once(binding: Binding) -> None:
    found = module_groups(binding)
    assert sum(site.count for site in found) == len(binding.graph.modules_by_name)
    assert len(found) < len(binding.graph.modules_by_name)
    assert [site.name for site in found] == [
        n for n in binding.graph.modules_by_name if n in {s.name for s in found}
    ]
    for site in found:
        assert binding.root.find_submodule(site.name) is site.bound


def test_a_context_tells_equal_modules_apart(binding: Binding) -> None:
    """Norms of layers that are units, those of the others, and the last one are one `Bound`."""
    found = propagate(binding, None, lambda around, bound: bound.entries.get(1, around))
    norms = {site.name: (site.context, site.count) for site in found if site.name.endswith("input_layernorm")}
    assert norms == {"model.layers.0.input_layernorm": (0, 4), "model.layers.1.input_layernorm": (1, 5)}


def test_every_module_of_the_tree_is_called_but_the_list(binding: Binding) -> None:
    called = module_calls(binding)
    uncalled = [name for name, bound in binding.root.named_modules() if bound not in called]
    assert uncalled == ["model.layers"]
    (attention,) = [called[b] for n, b in binding.root.named_modules() if n == "model.layers.0.self_attn"]
    assert [(list(c.args), sorted(c.kwargs)) for c in attention] == [
        ([], ["attention_mask", "hidden_states"])
    ]


@pytest.mark.parametrize("text", [
    "model", "model.layers.*", "model.**", "**.mlp", "**", "**.*_proj", "model.layers.{0,2..9}.mlp",
    "model.layers.!{0,1}", "model.*.*.self_attn.{q,k,w}_proj", "*.norm", "**.{up,o}_proj", "nothing.**", "lm_head.**",
])  # fmt: skip
def test_a_followed_pattern_leads_where_it_matches(text: str, graph: ModelGraph) -> None:
    pattern = Pattern.parse(text)
    matcher = PatternMatcher()
    for names in pattern.alternatives():
        matcher.add(names, text)
    matched = {
        name for name in graph.modules_by_name if list(matcher.match(tuple(name.split(".")) if name else ()))
    }
    plan = f"compile {{ {text}? }}"
    bound = bind(resolve(read_source(Source("p.plan", plan)), Settings(), {}), graph)
    reached = match_segments(pattern.segments, {bound.root: ""})
    assert {name for name, module in bound.root.named_modules() if module in reached} == matched
