"""Smaller numbers for a configuration of transformers, by the meaning of their names."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from math import gcd
from typing import Any

from planc.torch.verify.sizes import divisor, experts, like

Sizes = dict[str, int]

_HEADS = ("heads", "n_head")
_FFN = ("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size", "mlp_dim")
_SAME = ("pooler_output_size", "word_embed_proj_dim", "embedding_size", "hidden_size", "projection_dim")
"""Widths that are another's, where they are as large."""
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_GROUPS, _TOP_GROUPS = ("n_group",), ("topk_group",)
_CHOSEN = ("num_experts_per_tok", "moe_topk", "moe_top_k")
_WIDTHS = {64: 2, 16: 4, 0: 8}
"""Of a head, where there are more than so many of them."""
_STREAM = 256
"""All heads together, at most, where the width of one is to be divided as it was."""
_POSITIONS = ("max_position_embeddings", "n_positions", "max_target_positions")
PLACES = 64
WORDS = 250
FRAMES = 24
WINDOW = 6


def parts_of(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration and those inside of it, with what their names begin with."""
    yield prefix, config
    for name, value in vars(config).items():
        if hasattr(value, "to_dict") and not name.startswith("_"):
            yield from parts_of(value, f"{prefix}{name}.")


def said(config: Any, name: str) -> Any:
    """What a configuration says; None where it says nothing, or another thing for each block."""
    with contextlib.suppress(Exception):  # some refuse such a question, with errors of their own
        return getattr(config, name, None)
    return None


def numbers_of(config: Any) -> Sizes:
    """The whole numbers that a configuration is made of; those that it computes are left out."""
    takes = [name for name in inspect.signature(type(config).__init__).parameters if name != "self"]
    if not set(takes) & set(vars(config)):
        takes = list(vars(config))
    own: set[str] = set()
    with contextlib.suppress(Exception):  # what every configuration of the class has is computed
        own = set(vars(config)) - set(vars(type(config)()))
    values = {name: said(config, name) for name in (*takes, *sorted(own)) if not name.startswith("_")}
    return {name: value for name, value in values.items() if type(value) is int}


def narrow(config: Any, parts: int) -> dict[str, Sizes]:
    """What is smaller, by groups that can be left out each.

    Args:
        parts: the ranks that share dims of the model; what divides them divides the same numbers as before.
    """
    found: dict[str, Sizes] = {"positions": {}, "experts": {}, "vocabulary": {}, "widths": {}}
    for prefix, part in parts_of(config):
        one = _Narrow(part, parts)
        for group, sizes in one.groups().items():
            found[group].update({f"{prefix}{name}": size for name, size in sizes.items()})
    return found


class _Narrow:
    """Smaller numbers of one configuration."""

    def __init__(self, config: Any, parts: int) -> None:
        self.config, self.parts = config, parts
        self.numbers = numbers_of(config)

    def groups(self) -> Mapping[str, Sizes]:
        widths = dict(self._widths())
        others = set(widths.values())  # a table that is square by chance would hide which dim is which
        return {
            "positions": dict(self._positions(others)),
            "experts": dict(self._experts()),
            "vocabulary": dict(self._vocabulary(others)),
            "widths": widths,
        }

    def _named(self, *names: str) -> Iterator[tuple[str, int]]:
        return ((name, value) for name, value in self.numbers.items() if name in names)

    def _standard(self, name: str) -> tuple[str, int] | None:
        """A number by the name that most have for it: the own name, and how much it is."""
        own = (said(self.config, "attribute_map") or {}).get(name, name)
        value = self.numbers.get(own, self.numbers.get(name))
        return None if value is None else (own if own in self.numbers else name, value)

    def _positions(self, others: set[int]) -> Iterator[tuple[str, int]]:
        if said(self.config, "rope_parameters") is None:  # a table of them, not what turning is tuned to
            for name, value in self._named(*_POSITIONS):
                yield name, like(value, self.parts, max(PLACES, 8 * self.parts), avoid=others)
        for name, value in self._named("max_source_positions"):
            yield name, like(value, self.parts, FRAMES)
        for name, value in self._named("sliding_window"):
            yield name, min(value, WINDOW) if value > 0 else value
        image, patch = self.numbers.get("image_size"), self.numbers.get("patch_size")
        if image and patch and image % patch == 0:
            side = image // patch
            shares = gcd(side * side, self.parts)
            few = (n for n in range(3, side) if gcd(n * n, self.parts) == shares and (side - n) % 2 == 0)
            yield "image_size", patch * next(few, side)

    def _experts(self) -> Iterator[tuple[str, int]]:
        groups = max((value for _, value in self._named(*_GROUPS)), default=1)
        for name, count in self._named(*_EXPERTS):
            small, few = experts(count, groups, self.parts)
            if small == count:
                continue
            yield name, small
            yield from ((own, few) for own, _ in self._named(*_GROUPS))
            top = {own: max(1, value * few // groups) for own, value in self._named(*_TOP_GROUPS)}
            yield from top.items()
            most = small // few * min(top.values(), default=few)
            yield from ((own, min(value, 2, most)) for own, value in self._named(*_CHOSEN))

    def _vocabulary(self, others: set[int]) -> Iterator[tuple[str, int]]:
        main = self._standard("vocab_size")
        every = {name: value for name, value in self.numbers.items() if name.endswith("vocab_size")}
        every.update([main] if main is not None else [])
        every = {name: value for name, value in every.items() if value > WORDS}
        few = {name: like(value, self.parts, WORDS, avoid=others) for name, value in every.items()}
        if few == every:  # or there is none
            return
        yield from few.items()
        least = min(few.values())
        ids = {name: value for name, value in self.numbers.items() if name.endswith("_token_id")}
        free = (n for n in range(least) if n not in ids.values())
        moved: dict[int, int] = {}
        for name, value in ids.items():
            if value >= least:
                yield name, moved[value] if value in moved else moved.setdefault(value, next(free))

    def _widths(self) -> Iterator[tuple[str, int]]:
        hidden = self._standard("hidden_size")
        heads = {name: value for name, value in self.numbers.items() if name.endswith(_HEADS) and value > 0}
        if hidden is None:
            return
        by = divisor(heads.values(), self.parts)
        few = {name: count // by if count > 1 else count for name, count in heads.items()}
        name, width = hidden
        own = self._standard("head_dim")
        each = own[1] if own is not None else width // max(heads.values(), default=1)
        others = self._other_heads(each, max(few.values(), default=1))
        small_each, small_width = self._head(width, each, heads, few, set(others.values()))
        yield from few.items()
        for dim, value in self._head_dims():
            yield dim, small_each if value == each else others[value]
        yield name, small_width
        yield from self._inner(width, small_width, {name})

    def _head_dims(self) -> Iterator[tuple[str, int]]:
        for name, value in self.numbers.items():
            if name.endswith("head_dim") or name in ("d_kv", "kv_channels"):
                yield name, value

    def _other_heads(self, each: int, heads: int) -> dict[int, int]:
        """Widths of heads other than the usual one; different ones stay different."""
        found: dict[int, int] = {}
        for name, value in self._head_dims():
            if value not in (each, *found):
                # What is turned lies beside other numbers, in no head.
                is_fitted = "rope" in name or heads * max(gcd(value, self.parts), 8) <= self._most()
                parts = self.parts if is_fitted else 1
                found[value] = like(value, parts, min(8, value), step=2, avoid=set(found.values()))
        return found

    def _head(
        self, width: int, each: int, heads: Sizes, few: Sizes, others: Collection[int]
    ) -> tuple[int, int]:
        """The width of a head, and that of the stream between the blocks."""
        most, small = max(heads.values(), default=1), max(few.values(), default=1)
        is_tied = width == most * each and not others
        unit = small if width % most == 0 else 1
        for size in self._sizes(each, heads, few):
            if not is_tied:
                near = max(32, small * size * width // (most * each))
                return size, like(
                    width, self.parts, near, step=unit, avoid={small * wide for wide in (size, *others)}
                )
            if gcd(width, self.parts) == gcd(small * size, self.parts):
                return size, small * size
        return each, small * each if is_tied else width

    def _sizes(self, each: int, heads: Sizes, few: Sizes) -> Iterator[int]:
        """Smaller widths of a head, such that all heads together are divided as they were, and where that is
        not much, a single one too: it may have a norm of its own."""
        small, step = max(few.values(), default=1), self._turned()
        fitting = gcd(each, self.parts)
        is_fitted = self._standard("head_dim") is not None and small * max(fitting, 8) <= self._most()
        least = next(size for count, size in _WIDTHS.items() if small > count)
        for size in range(max(least, step), each):
            if size % step or (is_fitted and gcd(size, self.parts) != fitting):
                continue
            if all(gcd(heads[n] * each, self.parts) == gcd(few[n] * size, self.parts) for n in heads):
                yield size

    def _most(self) -> int:
        """How wide all heads together may become; experts come in numbers, and take more room."""
        return _STREAM // 2 if any(self._named(*_EXPERTS)) else _STREAM

    def _turned(self) -> int:
        """What divides a head: rotary positions turn pairs of numbers, of all or of a part of a head."""
        rope = said(self.config, "rope_parameters") or {}
        part = rope.get("partial_rotary_factor", 1.0) if isinstance(rope, dict) else 1.0
        return next((n for n in range(2, 129, 2) if n * part == int(n * part) and int(n * part) % 2 == 0), 2)

    def _inner(self, width: int, small: int, done: set[str]) -> Iterator[tuple[str, int]]:
        """Widths inside of the blocks: about what they are to the stream; equal ones stay equal."""
        known = {width: small}
        least = small // (4 if any(self._named(*_EXPERTS)) else 2)
        for name, value in self.numbers.items():
            if name in done or not (name.endswith((*_FFN, *_SAME, "lora_rank"))):
                continue
            if value not in known:
                near = min(max(small * value // width, least), small * 5 // 4)
                known[value] = like(value, self.parts, max(near, 8), avoid=set(known.values()))
            yield name, known[value]
