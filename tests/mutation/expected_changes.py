"""What each kind of change makes of a small plan, written by hand. The model has `head` and three layers,
`layers.{0..2}`, each with `norm` and `attn.{q,k,o}`; its facts are `heads`, 4, and `tied`, false.

`;` ends a line. Rules alone stand for a plan with `mesh dp, tp` and these in `tensor tp`.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A plan, and plans that a kind makes of it."""

    kind: str
    before: str
    after: tuple[str, ...]
    all: bool
    """Whether it makes these alone."""


def _lines(text: str) -> str:
    return "".join(f"{line.strip()}\n" for line in text.split(";"))


def _tensor_block(text: str) -> str:
    return f"mesh dp, tp\ntensor tp {{\n{_lines(text)}}}\n" if text else "mesh dp, tp\ntensor tp {}\n"


def rules(kind: str, before: str, *after: str, all: bool = True) -> Case:  # noqa: A002
    """A case of rules."""
    return Case(kind, _tensor_block(before), tuple(map(_tensor_block, after)), all)


def plans(kind: str, before: str, *after: str, all: bool = True) -> Case:  # noqa: A002
    """A case of whole plans."""
    return Case(kind, _lines(before), tuple(map(_lines, after)), all)


_LET = "let s = shard(1) when a else replicate"
_ON = "option a = true"


def _with_let(text: str) -> str:
    return f"mesh dp, tp;{_ON};{_LET};tensor tp {{;{text};}}"


EXPECTED = (
    # which rules there are
    rules("drop-rule", "head colwise; layers.*.norm sequence", "head colwise", "layers.*.norm sequence"),
    rules("add-rule", "head colwise",
          "head colwise; layers.*.norm sequence", "head colwise; layers.*.attn.q rowwise",
          "head colwise; layers.0.attn.o packed_colwise(3)",
          "head colwise; layers.1 inputs(0: replicate -> shard(1))", all=False),
    rules("override-rule", "layers.*.norm replicate",
          "layers.*.norm replicate; override layers.1.norm sequence",
          "layers.*.norm replicate; override layers.*.norm sequence", all=False),
    rules("exchange-rules", "head colwise; layers.*.norm sequence", "layers.*.norm colwise; head sequence"),
    rules("duplicate-rule", "layers.*.norm sequence; head colwise",
          *(f"layers.*.norm sequence; override layers.{i}.norm sequence; head colwise" for i in range(3))),
    rules("move-rule", "head colwise; layers.*.norm sequence", "layers.*.norm sequence; head colwise"),
    rules("shuffle-rules", "head colwise; layers.*.norm sequence",
          "layers.*.norm sequence; head colwise", "head colwise; layers.*.norm sequence"),
    rules("drop-inside",
          "layers.*.attn inputs(0: shard(1) -> replicate); layers.*.attn.{q,k} colwise; layers.*.norm sequence",
          "layers.*.norm sequence"),
    rules("push-port",
          "layers.*.attn inputs(0: shard(1) -> replicate); layers.*.attn.{q,k} colwise; layers.*.attn.o rowwise",
          "layers.*.attn.{q,k} colwise shard(1) ->; layers.*.attn.o rowwise"),
    # styles, and what stands beside them
    rules("swap-style", "head packed_colwise(3) -> replicate",
          "head colwise -> replicate", "head rowwise -> replicate", "head sequence -> replicate",
          "head replicate -> replicate"),
    rules("exchange-styles", "head colwise -> replicate; layers.*.norm sequence; layers.*.attn inputs(0: partial -> replicate)",
          "head sequence -> replicate; layers.*.norm colwise; layers.*.attn inputs(0: partial -> replicate)"),
    rules("drop-style", "head colwise shard(1) -> shard(-1) params(weight: shard(0))", "head params(weight: shard(0))"),
    rules("drop-facet", "head colwise inputs(0: shard(1) -> replicate) outputs(0: replicate -> shard(1)); layers.*.attn attributes(heads: 2)",
          "head colwise outputs(0: replicate -> shard(1)); layers.*.attn attributes(heads: 2)",
          "head colwise inputs(0: shard(1) -> replicate); layers.*.attn attributes(heads: 2)",
          "head colwise inputs(0: shard(1) -> replicate) outputs(0: replicate -> shard(1))"),
    rules("add-port", "head colwise", "head colwise inputs(0: replicate -> shard(1))",
          "head colwise outputs(0: partial -> replicate)", all=False),
    rules("add-attribute", "layers.*.attn inputs(0: shard(1) -> replicate)",
          "layers.*.attn inputs(0: shard(1) -> replicate) attributes(heads: 4 // tp)",
          "layers.*.attn inputs(0: shard(1) -> replicate) attributes(groups: 2 // tp)"),
    # layouts
    rules("arrow", "head rowwise -> shard(1)", "head rowwise", "head rowwise -> replicate", "head rowwise -> partial",
          "head rowwise shard(2) -> shard(1)", all=False),
    rules("port", "head inputs(0: shard(1) -> replicate)",
          *(f"head inputs(0: {new} -> replicate)" for new in ("replicate", "shard(-1)", "shard(2)", "shard(0)", "partial")),
          *(f"head inputs(0: shard(1) -> {new})" for new in ("shard(1)", "shard(-1)", "shard(2)", "shard(0)"))),
    rules("turn-port", "head inputs(0: shard(1) -> replicate, 1: partial -> partial)",
          "head inputs(0: replicate -> shard(1), 1: partial -> partial)"),
    rules("port-key", "head inputs(1: shard(1) -> replicate)",
          *(f"head inputs({key}: shard(1) -> replicate)" for key in ("0", "2", "hidden_states"))),
    plans("let-layout", _LET,
          *(f"let s = {new} when a else replicate" for new in ("replicate", "shard(-1)", "shard(2)", "shard(0)")),
          *(f"let s = shard(1) when a else {new}" for new in ("shard(1)", "shard(-1)", "shard(2)", "shard(0)"))),
    plans("turn-let", _LET, "let s = replicate when a else shard(1)"),
    plans("let-side", _with_let("head rowwise -> s"),
          _with_let("head rowwise -> shard(1)"), _with_let("head rowwise -> replicate")),
    rules("param", "layers.*.attn params(w: shard(1, 2))",
          *(f"layers.*.attn params(w: {new})" for new in ("shard(0)", "shard(1)", "shard(2)", "shard(-1)", "shard(1, 3)", "replicate"))),
    rules("add-param", "layers.*.norm sequence",
          *(f"layers.*.norm sequence params(scale: {new})" for new in ("shard(0)", "shard(1)", "replicate"))),
    rules("loss", "head colwise; loss vocab_parallel", "head colwise", "head colwise; loss whole"),
    rules("gather-logits", "head colwise shard(1) -> shard(-1); loss vocab_parallel", "head colwise shard(1) -> replicate"),
    # patterns
    rules("narrow", "layers.*.attn.{q,k} colwise",
          "layers.*.attn.{q} colwise", "layers.*.attn.{k} colwise", "layers.{0..1}.attn.{q,k} colwise",
          *(f"layers.{sign}{{{i}}}.attn.{{q,k}} colwise" for i in range(3) for sign in ("", "!"))),
    rules("widen", "layers.!{0}.attn.{q,k} colwise",
          "*.!{0}.attn.{q,k} colwise", "layers.*.attn.{q,k} colwise", "layers.!{0}.attn.{q,k,o} colwise",
          "layers.!{0}.attn.* colwise", "layers.!{0}.*.{q,k} colwise", "{layers,head}.!{0}.attn.{q,k} colwise",
          "layers.!{0}.{attn,norm}.{q,k} colwise"),
    plans("widen", "let b = layers.*", "let b = layers.**", "let b = *.*", "let b = {layers,head}.*"),
    rules("rename", "layers.*.attn.{q,k} colwise",
          "head.*.attn.{q,k} colwise", "layers.*.norm.{q,k} colwise", "layers.*.attn.{k,o} colwise",
          "layers.*.attn.{q,o} colwise"),
    rules("parent", "layers.*.attn.q colwise", "layers.*.attn colwise"),
    rules("child", "layers.*.attn sequence",
          *(f"layers.*.attn.{name} sequence" for name in ("q", "k", "o", "*"))),
    rules("class", "layers.** sequence",
          *(f"layers.**:{kind} sequence" for kind in ("Layers", "Layer", "Norm", "Attention", "Linear"))),
    rules("spell", "layers.*.norm sequence", "layers.{0,1,2}.norm sequence"),
    # numbers and conditions
    rules("attribute", "layers.*.attn attributes(groups: heads // tp)",
          "layers.*.attn attributes(groups: heads)", "layers.*.attn attributes(groups: heads // tp * 2)",
          "layers.*.attn attributes(groups: heads // tp // tp)", "layers.*.attn attributes(groups: heads * tp)",
          "layers.*.attn attributes(groups: 1)"),
    rules("attribute-name", "layers.*.attn attributes(groups: heads // tp)",
          "layers.*.attn attributes(heads: heads // tp)"),
    rules("parts", "head packed_colwise(q: 4, k: 2)",
          "head packed_colwise(q: 4)", "head packed_colwise(k: 2)", "head packed_colwise(k: 2, q: 4)",
          "head packed_colwise(q: 2, k: 2)", "head packed_colwise(q: 4, k: 4)", "head packed_colwise(q: 5, k: 2)", all=False),
    plans("option", f"{_ON}; option n = 4",
          "option a = false; option n = 4", f"{_ON}; option n = 3", f"{_ON}; option n = 5"),
    rules("drop-when", "head colwise when tied; layers.*.norm sequence", "head colwise; layers.*.norm sequence"),
    rules("turn-when", "head colwise when tied; layers.*.norm sequence when not tied",
          "head colwise when not tied; layers.*.norm sequence when not tied",
          "head colwise when tied; layers.*.norm sequence when tied"),
    rules("add-when", "head colwise", "head colwise when tied", "head colwise when not tied"),
    plans("drop-require", 'require tp > 1 "why"; require heads == 4', "require heads == 4", 'require tp > 1 "why"'),
    # units, regions, the mesh
    plans("drop-block", "fsdp dp {; root; }; compile { head }", "fsdp dp {; root; }", "compile { head }"),
    plans("drop-unit", "fsdp dp {; head; root; }", "fsdp dp {; root; }", "fsdp dp {; head; }"),
    plans("add-unit", "fsdp dp {; root; }", "fsdp dp {; head; root; }", "fsdp dp {; layers.*.attn; root; }",
          "fsdp dp {; layers.1; root; }", all=False),
    plans("split-unit", "fsdp dp {; layers.* + head keep; }", "fsdp dp {; layers.* keep; head keep; }"),
    plans("join-units", "fsdp dp {; layers.*; head keep; root; }", "fsdp dp {; layers.* + head; root; }"),
    plans("unit-part", "fsdp dp {; layers.* + head keep; }", "fsdp dp {; layers.* keep; }", "fsdp dp {; head keep; }"),
    plans("reshard", "fsdp dp {; head keep; }", "fsdp dp {; head; }", "fsdp dp {; head reshard(1); }"),
    plans("setting", "fsdp dp {; params: bf16; }", "fsdp dp {}", "fsdp dp {; params: fp16; }", "fsdp dp {; params: fp32; }"),
    plans("drop-region", "recompute {; head; layers.* full; }", "recompute { head }", "recompute { layers.* full }"),
    plans("add-region", "compile {}", "compile { head }", "compile { layers.* }", "compile { layers.2.attn }", all=False),
    plans("recompute-mode", "recompute { head full }", "recompute { head }", "recompute { head save(matmul) }",
          "recompute { head save(attention, collective) }", all=False),
    plans("swap-axes", "mesh dp, tp=2", "mesh tp=2, dp"),
    # the same in other words
    rules("say-default", "head rowwise", "head rowwise -> replicate"),
    rules("say-default", "head colwise", "head colwise replicate ->", "head colwise -> shard(-1)"),
    rules("own-class", "layers.*.norm sequence; layers.** sequence", "layers.*.norm:Norm sequence; layers.** sequence"),
    rules("optional", "head colwise; root outputs(0: shard(1) -> replicate)",
          "head? colwise; root outputs(0: shard(1) -> replicate)"),
    rules("scale-parts", "head packed_colwise(q: heads, k: 2)", "head packed_colwise(q: heads * 2, k: 2 * 2)"),
    rules("split-when", "head colwise", "head colwise when tp > 1"),
    rules("split-choice", "layers.*.attn.{q,k} colwise", "layers.*.attn.{q} colwise; layers.*.attn.{k} colwise"),
    rules("split-star", "layers.*.norm sequence", "layers.{0}.norm sequence; layers.!{0}.norm sequence"),
    rules("spell-modules", "layers.*.norm sequence",
          "layers.0.norm sequence; layers.1.norm sequence; layers.2.norm sequence"),
    plans("split-conditions", _with_let("head colwise when tied"),
          _with_let("head colwise when tied and a; head colwise when tied and not a")),
    plans("inline-layout", _with_let("head rowwise -> s"),
          _with_let("head rowwise -> shard(1) when a; head rowwise -> replicate when not a")),
    plans("inline-pattern", "let b = layers.*; let c = b.attn; recompute { c.q }",
          "let b = layers.*; let c = layers.*.attn; recompute { c.q }",
          "let b = layers.*; let c = b.attn; recompute { layers.*.attn.q }"),
    plans("inline-let", "let b = layers.*; recompute { b.attn }", "recompute { layers.*.attn }"),
)  # fmt: skip
