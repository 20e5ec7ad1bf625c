"""The fact of a model's configuration that an attribute of a module holds: of the same value, and right by its name."""

from __future__ import annotations

from collections.abc import Mapping

_COUNT_WORDS = frozenset({"n", "num", "number"})
"""What names of counts begin with; they say nothing about what is counted."""
_COMMON_WORDS: Mapping[str, tuple[str, ...]] = {
    "head": ("heads",), "nhead": ("heads",), "nheads": ("heads",),
    "kv": ("key", "value"),
    "embed": ("hidden",), "embd": ("hidden", "size"), "model": ("hidden",),
    "d": ("size",), "dim": ("size",), "width": ("size",),
    "ff": ("intermediate",), "ffn": ("intermediate",), "inner": ("intermediate",),
}  # fmt: skip
"""Words that different models have for the same thing."""
_IMPLIED_WORDS = frozenset({"attention", "attn"})
"""What a configuration adds to a name, and a module of attention leaves out."""


def fact_of_attribute(name: str, value: int, facts: Mapping[str, int | bool]) -> str | None:
    """The name of a fact that means the same as an attribute, as `num_attention_heads` does for `num_heads`.

    Args:
        name: of the attribute, with dots where it is one of another object.
        value: of the attribute; the fact must have it too.

    Returns:
        None: no fact has this meaning and value, or the configuration has several of this kind, as for the heads of
        an encoder and a decoder.
    """
    own = name.rpartition(".")[2]
    if _has_value(facts, own, value):
        return own
    words = _words(own)
    alike = [fact for fact in facts if words <= _words(fact) and _has_value(facts, fact, value)]
    if any({"encoder", "decoder"} & _words(fact) for fact in alike):
        return None
    return next((fact for fact in alike if _words(fact) - words <= _IMPLIED_WORDS), None)


def _has_value(facts: Mapping[str, int | bool], name: str, value: int) -> bool:
    return type(facts.get(name)) is int and facts[name] == value


def _words(name: str) -> frozenset[str]:
    parts = [part for part in name.lower().split("_") if part and part not in _COUNT_WORDS]
    return frozenset(word for part in parts for word in _COMMON_WORDS.get(part, (part,)))
