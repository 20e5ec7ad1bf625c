"""Cases of the judge: variants of shipped plans, by edits of their flat lines (see `plans.edited`).

Wrong variants are those of tests/plans/families too; here stand more. A right variant is proved and
computes the right numbers; a wrong one is neither. STRICT is what planc refuses although the
numbers of these inputs are right, and why.
"""

from __future__ import annotations

from tests.judge import state_cases
from tests.judge.variant import Variant


def _both(title: str, *edits: str) -> tuple[Variant, Variant]:
    return Variant(title, edits), Variant(f"{title}, whole sequence", edits, split=False)


_GATHERED = _both("logits are gathered", "-> shard(-1) => -> replicate", "- loss")
_NO_BOUNDARY = Variant("q, k and v sum their gradients each", ("- self_attn inputs(",), split=False)
_MLP_ALONE = Variant("the MLPs alone are split", ("- self_attn", "- embed_tokens"), split=False)
_LLAMA = (*_GATHERED, _NO_BOUNDARY, _MLP_ALONE, Variant("the embedding is whole", ("- embed_tokens",)))
_MOE = (
    *_GATHERED,
    Variant("attention is whole", ("- self_attn inputs(", "- _proj colwise", "- o_proj"), split=False),
)

RIGHT: dict[str, tuple[Variant, ...]] = {
    "llama": (
        *_LLAMA,
        Variant("the embedding is split by its width", ("embed_tokens rowwise => embed_tokens colwise -> replicate",)),
        Variant("norms that only say that they are whole", ("_layernorm sequence => _layernorm replicate",)),
        Variant("the second layer alone is split", ("layers.*. => layers.{1}.", "- layers.0 inputs"), split=False),
    ),
    "qwen2": _LLAMA,
    "qwen3": (
        *_LLAMA[:3],
        Variant("the MLPs alone are split", ("- self_attn", "- embed_tokens"), split=False),
        Variant("norms of heads between two boundaries", (
            "{q,k}_norm replicate => {q,k}_norm inputs(0: shard(2) -> replicate) outputs(0: replicate -> shard(2))",)),
    ),
    "mistral": _LLAMA,
    "gemma3": (*_both("logits are gathered", "lm_head colwise shard(1) -> shard(-1) => lm_head colwise shard(1) -> replicate",
                      "- loss")[:1],
               Variant("q, k and v sum their gradients each", ("- self_attn inputs(",), split=False),
               Variant("the MLPs alone are split", ("- self_attn",), split=False)),
    "phi3": (*_GATHERED, Variant("the MLPs alone are split", ("- self_attn",), split=False)),
    "gpt2": (
        *_GATHERED,
        Variant("attention sums at its projection", ("attn inputs(0: replicate -> replicate) => attn",), split=False),
        Variant("the MLPs alone are split", ("- attn", "- h.0 inputs"), split=False),
    ),
    "neox": (*_GATHERED, Variant("the MLPs alone are split", ("- attention",  "- embed_in"), split=False)),
    "olmo2": (
        Variant("logits are gathered", ("lm_head colwise shard(1) -> shard(-1) => lm_head colwise shard(1) -> replicate", "- loss")),
        Variant("the MLPs alone are split", ("- self_attn", "- embed_tokens"), split=False),
    ),
    "mixtral": _MOE,
    "qwen3_moe": _MOE,
    "deepseek_v3": (
        *_GATHERED,
        Variant("attention is whole", ("- self_attn", "- embed_tokens"), split=False),
    ),
    "bert": (Variant("the MLPs alone are split", ("- attention.self", "- attention.output.dense"), split=False),
             Variant("the table is whole", ("- word_embeddings",))),
    "bert_mlm": _GATHERED,
    "t5": (*_GATHERED, Variant("self attention sums at its projections", (
        "SelfAttention inputs(0: replicate -> replicate) => SelfAttention outputs(0: replicate -> replicate)",), split=False)),
    "vit": (
        Variant("q, k and v sum their gradients each", ("- attention inputs",)),
        Variant("the MLPs alone are split", ("- attention",)),
        Variant("attention alone is split", ("- mlp",)),
        Variant("the head's labels are gathered", ("+ classifier colwise -> replicate",)),
    ),
    "whisper": _GATHERED,
}  # fmt: skip

_BIASED = Variant(
    "a bias is summed with the rest", ("rowwise -> replicate => rowwise -> partial",), split=False
)
_WRONG_LLAMA = (
    Variant("the norms of a split sequence have no rule", ("- _layernorm",)),
    Variant("o_proj is forgotten", ("- o_proj",), split=False),
    Variant("v alone is whole", ("{q,k,v}_proj => {q,k}_proj",), split=False),
    Variant("the MLP is not gathered", ("- mlp inputs",)),
    Variant(
        "the embedding is split by its width, and left so", ("embed_tokens rowwise => embed_tokens colwise",)
    ),
)

WRONG: dict[str, tuple[Variant, ...]] = {
    "llama": _WRONG_LLAMA,
    "qwen2": _WRONG_LLAMA,
    "qwen3": _WRONG_LLAMA,
    "mistral": _WRONG_LLAMA,
    "gemma3": _WRONG_LLAMA[:4],
    "gpt2": (_BIASED,),
    "neox": (_BIASED,),
    "vit": (
        Variant("o_proj is forgotten", ("- o_proj",)),
        Variant("fc2 is split as fc1", ("fc2 rowwise => fc2 colwise",)),
        Variant("fc1 is split as fc2", ("fc1 colwise => fc1 rowwise",)),
        Variant("nothing sums what the heads give", ("o_proj rowwise => o_proj rowwise -> partial",)),
        Variant("k alone is whole", ("{q,k,v}_proj => {q,v}_proj",)),
        Variant("the labels stay split", ("+ classifier colwise",)),
    ),
}

STRICT: dict[str, str] = {
    "qwen3: the norms of heads are taken for norms of a sequence": "it says of what arrives what is not so; as nothing is communicated there, the numbers do not show it",
    "qwen3_moe: Mixtral's experts, and Llama's names for the mlp": "patterns that match nothing split nothing",
}
"""Why planc refuses a case whose numbers are right: `PLAN: TITLE` and the reason."""

TOYS: tuple[tuple[str, bool, Variant], ...] = (
    ("biased", True, Variant("a late bias, by its features")),
    (
        "biased",
        True,
        Variant(
            "a late bias, by the sequence",
            (
                "two rowwise -> shard(-1) => two rowwise -> shard(1)",
                "three rowwise => three sequence -> replicate",
            ),
        ),
    ),
    (
        "biased",
        False,
        Variant("a bias before the sum", ("two rowwise -> shard(-1) => two rowwise -> partial",)),
    ),
    ("reused", True, Variant("one norm in two surroundings")),
    (
        "reused",
        False,
        Variant(
            "one norm, whole and on a slice",
            (
                "down rowwise => down rowwise -> shard(1)",
                "norm replicate => norm sequence replicate -> replicate",
            ),
        ),
    ),
    ("tied", True, Variant("a table that is a head, whole", ("- words", "- root"))),
    ("tied", False, Variant("a table that is a head, split, and no boundary before it")),
    ("pooled", True, Variant("the sequence is whole where it is counted", ("- norm", "- mix"))),
    ("pooled", False, Variant("a length that is a rank's own")),
    (
        "pooled",
        False,
        Variant(
            "the first word of each rank",
            ("mix sequence -> replicate => mix sequence", "norm sequence => norm sequence"),
        ),
    ),
    ("frozen", True, Variant("weights without gradients")),
    ("frozen", False, Variant("a split value changed by a whole one", ("- up colwise",))),
    ("named", True, Variant("keywords, lists, dictionaries")),
    (
        "named",
        True,
        Variant(
            "each projection sums", ("inner inputs(x: replicate -> replicate) outputs => inner outputs",)
        ),
    ),
    ("named", False, Variant("a sum that is not taken", (" outputs(a: partial -> replicate) => ",))),
    (
        "twice",
        True,
        Variant(
            "a tensor in two places, whole",
            ("- norm", "- attn inputs", "- root", "attn.o rowwise -> shard(1) => attn.o rowwise"),
        ),
    ),
    (
        "twice",
        False,
        Variant("a tensor in two places, one of them gathered", (", 1: shard(1) -> replicate => ",)),
    ),
    ("echo", False, Variant("a result twice, one of them gathered", (", 1: shard(2) -> replicate => ",))),
    *state_cases.CASES,
)
"""Toys (tests/judge/toys.py, kept.py): whether the variant of their lines is right."""

UNSOUND: dict[str, str] = {}
"""Wrong variants that planc proves, `TOY: TITLE`, and why: faults of planc."""
