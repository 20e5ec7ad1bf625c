"""The models that must capture: each graph holds all that the model computes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from planc.graph.graph_reader import graph_from_bytes
from planc.graph.graph_writer import graph_to_bytes
from planc.ir.graph import ModelGraph, Op
from tests.torch.capture.replay import Replay, leaves
from tests.torch.capture.transformers_models import FAMILIES, reference

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
NAMES = list(FAMILIES)


@pytest.fixture(scope="module")
def graphs() -> dict[str, ModelGraph]:
    """Graphs that were captured by a test before."""
    return {}


def captured(name: str, graphs: dict[str, ModelGraph]) -> ModelGraph:
    from planc.torch.capture.from_reference import capture_reference

    if name not in graphs:
        graphs[name] = capture_reference(reference(name))
    return graphs[name]


def real_model(name: str) -> tuple[Any, Any]:
    """The same model with weights."""
    from planc.ir.source import Source
    from planc.torch.models import hugging_face
    from planc.torch.models.model_reference import parse_reference

    source = Source("MODEL", reference(name))
    kind, config = hugging_face.class_and_config(parse_reference(source), source)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(config).train(), config


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_computes_what_the_model_computes(name: str, graphs: dict[str, ModelGraph]) -> None:
    graph = captured(name, graphs)
    model, _ = real_model(name)
    inputs = {}
    for key, info in graph.inputs.items():
        dtype = getattr(torch, info.dtype)
        inputs[key] = (
            torch.randn(info.shape)
            if dtype.is_floating_point
            else torch.randint(0, 200, info.shape, dtype=dtype)
        )
    cached = {} if name.startswith("ViT") else {"use_cache": False}
    with torch.no_grad():
        expected = list(leaves(model(**inputs, **cached)))
        got = list(leaves(Replay(graph, model).run(list(inputs.values()))))
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_is_read_as_it_was_written(name: str, graphs: dict[str, ModelGraph]) -> None:
    graph = captured(name, graphs)
    assert graph_from_bytes(graph_to_bytes(graph)) == graph
    assert len(graph_to_bytes(graph)) < 6000


@pytest.mark.parametrize("name", NAMES)
def test_modules_parameters_and_ties_are_the_models(name: str, graphs: dict[str, ModelGraph]) -> None:
    graph = captured(name, graphs)
    model, _ = real_model(name)
    assert list(graph.modules_by_name) == [n for n, _ in model.named_modules(remove_duplicate=False)]
    assert {n: i.shape for n, i in graph.parameters.items()} == {
        n: tuple(p.shape) for n, p in model.named_parameters(remove_duplicate=False)
    }
    named: dict[int, list[str]] = {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        named.setdefault(id(parameter), []).append(key)
    assert graph.ties == tuple(sorted(tuple(names) for names in named.values() if len(names) > 1))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_graph_is_unknown(name: str, graphs: dict[str, ModelGraph]) -> None:
    steps = [step for function in captured(name, graphs).functions for step in function.steps]
    unknown = [step for step in steps if isinstance(step, Op) and step.name in ("opaque", "number.lost")]
    if name.startswith("T5"):  # takes the logarithm of what its configuration says: no plan divides that
        assert {step.arguments[0].captured for step in unknown} == {8.0, 16.0}
        assert "size" not in repr(unknown)
    else:
        assert not unknown


def test_facts_have_all_names_of_a_number(graphs: dict[str, ModelGraph]) -> None:
    assert captured("GPT2LMHeadModel", graphs).facts["num_attention_heads"] == 4
    assert captured("GPT2LMHeadModel", graphs).facts["n_head"] == 4
    facts = captured("LlamaForCausalLM", graphs).facts
    assert (facts["num_key_value_heads"], facts["head_dim"], facts["tie_word_embeddings"]) == (2, 16, False)


def test_equal_layers_are_stored_once(tmp_path: Any) -> None:
    from planc.torch.capture.from_reference import capture_reference

    base = reference("LlamaForCausalLM")
    two, many = (capture_reference(base.replace("layers=2", f"layers={n}")) for n in (2, 126))
    assert len(two.functions) == len(many.functions)
    assert len(two.modules) == len(many.modules)
    assert len(graph_to_bytes(many)) < len(graph_to_bytes(two)) + 2000
    assert len(many.modules_by_name) > 126 * 12


def test_the_same_model_gives_the_same_bytes() -> None:
    from planc.torch.capture.from_reference import capture_reference

    for name in ("DeepseekV3ForCausalLM", "T5ForConditionalGeneration"):
        assert graph_to_bytes(capture_reference(reference(name))) == graph_to_bytes(
            capture_reference(reference(name))
        )
