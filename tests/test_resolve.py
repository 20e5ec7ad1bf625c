"""Where the modules of a model stand: sites, calls, and patterns that are followed."""

from __future__ import annotations

import graphs
import pytest

from planc.ir.graph import ModelGraph
from planc.ir.pattern import Pattern
from planc.ir.settled import Settings
from planc.ir.source import Source
from planc.matching import Matcher
from planc.read import read_source
from planc.resolve.bind import Binding, bind
from planc.resolve.calls import calls
from planc.resolve.follow import follow
from planc.resolve.sites import sites, spread
from planc.settle import settle

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
    return bind(settle(read_source(Source("p.plan", PLAN)), Settings(), graph.facts), graph)


def test_sites_stand_for_every_module_once(binding: Binding) -> None:
    found = sites(binding)
    assert sum(site.count for site in found) == len(binding.graph.names)
    assert len(found) < len(binding.graph.names)
    assert [site.name for site in found] == [n for n in binding.graph.names if n in {s.name for s in found}]
    for site in found:
        assert binding.root.below(site.name) is site.bound


def test_a_context_tells_equal_modules_apart(binding: Binding) -> None:
    """Norms of layers that are units, those of the others, and the last one are one `Bound`."""
    found = spread(binding, None, lambda around, bound: bound.entries.get(1, around))
    norms = {site.name: (site.context, site.count) for site in found if site.name.endswith("input_layernorm")}
    assert norms == {"model.layers.0.input_layernorm": (0, 4), "model.layers.1.input_layernorm": (1, 5)}


def test_every_module_of_the_tree_is_called_but_the_list(binding: Binding) -> None:
    called = calls(binding)
    uncalled = [name for name, bound in binding.root.walk() if bound not in called]
    assert uncalled == ["model.layers"]
    (attention,) = [called[b] for n, b in binding.root.walk() if n == "model.layers.0.self_attn"]
    assert [(list(c.arguments), sorted(c.keywords)) for c in attention] == [
        ([], ["attention_mask", "hidden_states"])
    ]


@pytest.mark.parametrize("text", [
    "model", "model.layers.*", "model.**", "**.mlp", "**", "**.*_proj", "model.layers.{0,2..9}.mlp",
    "model.layers.!{0,1}", "model.*.*.self_attn.{q,k,w}_proj", "*.norm", "**.{up,o}_proj", "nothing.**", "lm_head.**",
])  # fmt: skip
def test_a_followed_pattern_leads_where_it_matches(text: str, graph: ModelGraph) -> None:
    pattern = Pattern.parse(text)
    matcher = Matcher()
    for names in pattern.alternatives():
        matcher.add(names, text)
    matched = {name for name in graph.names if list(matcher.match(tuple(name.split(".")) if name else ()))}
    plan = f"compile {{ {text}? }}"
    bound = bind(settle(read_source(Source("p.plan", plan)), Settings(), {}), graph)
    reached = follow(pattern.segments, {bound.root: ""})
    assert {name for name, module in bound.root.walk() if module in reached} == matched
