"""Small models for tests, their graphs written by hand: consistent, and no larger than a
law needs. Attention is a product of q, k and v, entry by entry. Those in `tests/graph/captured`
are of real models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planc.graph.graph_writer import graph_to_bytes
from planc.ir.graph import Call, Function, ModelGraph, ModuleDef, Op, TensorInfo, Value, WeightRef

BATCH, LENGTH = 2, 8
BASES = {"Embedding": (), "Linear": (), "Conv1D": (), "ModuleList": (), "ScaledEmbedding": ("Embedding",)}


class FunctionBuilder:
    """The code of a module while it is written."""

    def __init__(self, *inputs: TensorInfo) -> None:
        self.tensors, self.inputs = list(inputs), len(inputs)
        self.steps: list[Op | Call] = []

    def op(self, name: str, *arguments: Any, shape: tuple[int, ...]) -> Value:
        result = self._new(TensorInfo(shape, "float32", True))
        self.steps.append(Op(name, arguments, {}, (result.number,)))
        return result

    def call(self, module: str, function: tuple[int, TensorInfo], *arguments: Any, **keywords: Any) -> Value:
        result = self._new(function[1])
        self.steps.append(Call(module, function[0], arguments, keywords, (), (result.number,)))
        return result

    def _new(self, info: TensorInfo) -> Value:
        self.tensors.append(info)
        return Value(len(self.tensors) - 1)


class GraphBuilder:
    """A graph while it is written; a part that is equal to an earlier one is that one."""

    def __init__(self) -> None:
        self.modules: list[ModuleDef] = []
        self.functions: list[Function] = []

    def module(
        self,
        class_name: str,
        children: Mapping[str, int] | None = None,
        attributes: Mapping[str, int] | None = None,
        **shapes: tuple[int, ...],
    ) -> int:
        parameters = {name: TensorInfo(shape, "float32", True) for name, shape in shapes.items()}
        bases = BASES.get(class_name, ())
        return _number(
            self.modules, ModuleDef(class_name, bases, parameters, {}, attributes or {}, children or {})
        )

    def function(self, body: FunctionBuilder, result: Value) -> tuple[int, TensorInfo]:
        made = Function(body.inputs, tuple(body.tensors), tuple(body.steps), result, (result.number,))
        return _number(self.functions, made), body.tensors[result.number]

    def applied(self, name: str, weights: tuple[str, ...], taken: TensorInfo, shape: tuple[int, ...]) -> Any:
        """The function of a module that is one operation on its input and its weights."""
        body = FunctionBuilder(taken)
        return self.function(body, body.op(name, Value(0), *map(WeightRef, weights), shape=shape))

    def graph(self, model: str, facts: Mapping[str, int | bool], *ties: tuple[str, ...]) -> ModelGraph:
        ids = TensorInfo((BATCH, LENGTH), "int64")
        modules, functions = tuple(self.modules), tuple(self.functions)
        return ModelGraph(model, {}, facts, {"input_ids": ids}, modules, functions, ties)


def _number(known: list[Any], item: Any) -> int:
    if item not in known:
        known.append(item)
    return known.index(item)


def stream(width: int) -> TensorInfo:
    return TensorInfo((BATCH, LENGTH, width), "float32", True)


def tiny_llama(
    layers: int = 4,
    width: int = 16,
    inner: int = 32,
    words: int = 64,
    tied: bool = False,
    experts: int = 0,
    scaled: bool = False,
) -> ModelGraph:
    """The module tree of transformers' Llama; with experts, that of a mixture of them;
    scaled, with one factor for all logits."""
    draft, x = GraphBuilder(), stream(width)
    shape = x.shape

    def linear(given: int, taken: int) -> tuple[int, Any]:
        function = draft.applied("linear", ("weight",), stream(taken), (BATCH, LENGTH, given))
        return draft.module("Linear", weight=(given, taken)), function

    norm, normed = draft.module("LlamaRMSNorm", weight=(width,)), draft.applied("mul", ("weight",), x, shape)
    square, squared = linear(width, width)
    attention = FunctionBuilder(x)
    q, k, v = (attention.call(f"{name}_proj", squared, Value(0)) for name in "qkv")
    mixed = attention.op("mul", attention.op("mul", q, k, shape=shape), v, shape=shape)
    attended = draft.function(attention, attention.call("o_proj", squared, mixed))
    heads = {"head_dim": width // 4}
    attn = draft.module("LlamaAttention", {f"{name}_proj": square for name in "qkvo"}, heads)
    mlp, widened = (_mixture if experts else _gated)(draft, linear, width, inner, experts)

    body = FunctionBuilder(x)
    after = body.call("input_layernorm", normed, Value(0))
    after = body.call("self_attn", attended, hidden_states=after, attention_mask=None)
    kept = body.op("add", Value(0), after, shape=shape)
    after = body.call("mlp", widened, body.call("post_attention_layernorm", normed, kept))
    run = draft.function(body, body.op("add", kept, after, shape=shape))
    layer = draft.module("LlamaDecoderLayer", {
        "self_attn": attn, "mlp": mlp, "input_layernorm": norm, "post_attention_layernorm": norm,
    })  # fmt: skip

    ids = TensorInfo((BATCH, LENGTH), "int64")
    table = draft.module("Embedding", weight=(words, width))
    looked_up = draft.applied("embedding", ("weight",), ids, shape)
    turned = draft.applied("cos", (), x, shape)
    rotary, shelf = draft.module("Rotary"), draft.module("ModuleList", {str(i): layer for i in range(layers)})
    body = FunctionBuilder(ids)
    here = body.call("embed_tokens", looked_up, Value(0))
    body.call("rotary_emb", turned, here)
    for i in range(layers):
        here = body.call(f"layers.{i}", run, here)
    inner_run = draft.function(body, body.call("norm", normed, here))
    model = draft.module("LlamaModel", {
        "embed_tokens": table, "layers": shelf, "norm": norm, "rotary_emb": rotary,
    })  # fmt: skip
    head, logits = linear(words, width)
    body = FunctionBuilder(ids)
    result = body.call("lm_head", logits, body.call("model", inner_run, input_ids=Value(0)))
    own: dict[str, TensorInfo] = {"scale": TensorInfo((), "float32", True)} if scaled else {}
    if scaled:
        result = body.op("mul", result, WeightRef("scale"), shape=(BATCH, LENGTH, words))
    draft.function(body, result)
    draft.modules.append(ModuleDef("LlamaForCausalLM", (), own, {}, {}, {"model": model, "lm_head": head}))
    facts = {
        "hidden_size": width,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": layers,
        "tie_word_embeddings": tied,
    }
    ties = (("model.embed_tokens.weight", "lm_head.weight"),) if tied else ()
    return draft.graph("hf:LlamaForCausalLM", facts, *ties)


def _gated(
    draft: GraphBuilder, linear: Callable[..., Any], width: int, inner: int, _: int
) -> tuple[int, Any]:
    (up, raised), (down, lowered) = linear(inner, width), linear(width, inner)
    body = FunctionBuilder(stream(width))
    gate = body.op("silu", body.call("gate_proj", raised, Value(0)), shape=(BATCH, LENGTH, inner))
    both = body.op("mul", gate, body.call("up_proj", raised, Value(0)), shape=(BATCH, LENGTH, inner))
    run = draft.function(body, body.call("down_proj", lowered, both))
    return draft.module("LlamaMLP", {"gate_proj": up, "up_proj": up, "down_proj": down}), run


def _mixture(
    draft: GraphBuilder, linear: Callable[..., Any], width: int, inner: int, experts: int
) -> tuple[int, Any]:
    router, routed = linear(experts, width)
    fused = draft.module("Experts", gate_up_proj=(experts, width, inner), down_proj=(experts, inner, width))
    body = FunctionBuilder(stream(width))
    body.call("gate", routed, Value(0))
    run = draft.function(
        body, body.call("experts", draft.applied("silu", (), stream(width), stream(width).shape), Value(0))
    )
    return draft.module("SparseMoe", {"gate": router, "experts": fused}), run


def tiny_gpt(layers: int = 3, width: int = 16, words: int = 64) -> ModelGraph:
    """The module tree of transformers' GPT-2: Conv1D, q, k and v in one, a tied head."""
    draft, x = GraphBuilder(), stream(width)
    shape = x.shape
    wide = (BATCH, LENGTH, 3 * width)

    def conv(given: int, taken: int) -> tuple[int, Any]:
        module = draft.module("Conv1D", weight=(taken, given), bias=(given,))
        body = FunctionBuilder(stream(taken))
        product = body.op("matmul", Value(0), WeightRef("weight"), shape=(BATCH, LENGTH, given))
        return module, draft.function(
            body, body.op("add", product, WeightRef("bias"), shape=product_shape(body))
        )

    def product_shape(body: FunctionBuilder) -> tuple[int, ...]:
        return body.tensors[-1].shape

    norm, normed = draft.module("LayerNorm", weight=(width,)), draft.applied("mul", ("weight",), x, shape)
    (fused, fuse), (square, squared) = conv(3 * width, width), conv(width, width)
    body = FunctionBuilder(x)
    three = body.op("mul", body.call("c_attn", fuse, Value(0)), 2.0, shape=wide)
    cut = [body.op("narrow", three, 2, i * width, width, shape=shape) for i in range(3)]
    mixed = body.op("mul", body.op("mul", cut[0], cut[1], shape=shape), cut[2], shape=shape)
    attended = draft.function(body, body.call("c_proj", squared, mixed))
    attn = draft.module("GPT2Attention", {"c_attn": fused, "c_proj": square}, {"split_size": width})
    body = FunctionBuilder(x)
    here = body.call("attn", attended, body.call("ln_1", normed, Value(0)))
    run = draft.function(body, body.op("add", Value(0), here, shape=shape))
    block = draft.module("GPT2Block", {"ln_1": norm, "attn": attn})
    shelf = draft.module("ModuleList", {str(i): block for i in range(layers)})
    ids = TensorInfo((BATCH, LENGTH), "int64")
    table, looked_up = (
        draft.module("Embedding", weight=(words, width)),
        draft.applied("embedding", ("weight",), ids, shape),
    )
    body = FunctionBuilder(ids)
    here = body.call("wte", looked_up, Value(0))
    for i in range(layers):
        here = body.call(f"h.{i}", run, here)
    inner_run = draft.function(body, body.call("ln_f", normed, here))
    trunk = draft.module("GPT2Model", {"wte": table, "h": shelf, "ln_f": norm})
    head = draft.module("Linear", weight=(words, width))
    body = FunctionBuilder(ids)
    logits = draft.applied("linear", ("weight",), x, (BATCH, LENGTH, words))
    draft.function(body, body.call("lm_head", logits, body.call("transformer", inner_run, Value(0))))
    draft.modules.append(
        ModuleDef("GPT2LMHeadModel", (), {}, {}, {}, {"transformer": trunk, "lm_head": head})
    )
    facts = {"n_embd": width, "n_head": 4, "n_layer": layers}
    return draft.graph("hf:GPT2LMHeadModel", facts, ("transformer.wte.weight", "lm_head.weight"))


MODELS: dict[str, Callable[[], ModelGraph]] = {
    "tiny-llama": tiny_llama,
    "tiny-tied": lambda: tiny_llama(tied=True),
    "tiny-moe": lambda: tiny_llama(experts=4),
    "tiny-gpt": tiny_gpt,
    "tiny-scaled": lambda: tiny_llama(scaled=True),
    "wide": lambda: tiny_llama(layers=2, width=1024, inner=4096, words=32000),
}
ENDING = ".graph.json.gz"
CAPTURED = Path(__file__).parent / "captured"


@cache
def model_file(name: str) -> bytes:
    """The graph file of a model, by the name that a case gives it."""
    model = MODELS.get(name.removesuffix(ENDING))
    return (CAPTURED / name).read_bytes() if model is None else graph_to_bytes(model())


def models_in_flags(flags: tuple[str, ...]) -> list[str]:
    """The graph files of these models that the flags of a case name."""
    known = {f"{name}{ENDING}" for name in MODELS} | {path.name for path in CAPTURED.glob(f"*{ENDING}")}
    return [flag for flag in flags if flag in known]
