"""Smaller numbers for a configuration of transformers, by the meaning of their names."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
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
WORDS = 250
FRAMES = 24
WINDOW = 6


def parts_of(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration and those inside of it, with what their names begin with."""
    yield prefix, config
    for name, value in vars(config).items():
        if hasattr(value, "to_dict") and not name.startswith("_"):
            yield from parts_of(value, f"{prefix}{name}.")


def numbers_of(config: Any) -> Sizes:
    """The whole numbers that a configuration is made of; those that it computes are left out."""
    takes = [name for name in inspect.signature(type(config).__init__).parameters if name != "self"]
    if not set(takes) & set(vars(config)):
        takes = list(vars(config))
    own: set[str] = set()
    with contextlib.suppress(Exception):  # what every configuration of the class has is computed
        own = set(vars(config)) - set(vars(type(config)()))
    values = {
        name: getattr(config, name, None) for name in (*takes, *sorted(own)) if not name.startswith("_")
    }
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
        self.words = like(self.numbers.get("vocab_size", 0), parts, WORDS)

    def groups(self) -> Mapping[str, Sizes]:
        return {
            "positions": dict(self._positions()),
            "experts": dict(self._experts()),
            "vocabulary": dict(self._vocabulary()),
            "widths": dict(self._widths()),
        }

    def _named(self, *names: str) -> Iterator[tuple[str, int]]:
        return ((name, value) for name, value in self.numbers.items() if name in names)

    def _standard(self, name: str) -> tuple[str, int] | None:
        """A number by the name that most have for it: the own name, and how much it is."""
        own = (getattr(self.config, "attribute_map", None) or {}).get(name, name)
        value = self.numbers.get(own, self.numbers.get(name))
        return None if value is None else (own if own in self.numbers else name, value)

    def _positions(self) -> Iterator[tuple[str, int]]:
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

    def _vocabulary(self) -> Iterator[tuple[str, int]]:
        if self.words == self.numbers.get("vocab_size", 0):
            return
        yield "vocab_size", self.words
        ids = {name: value for name, value in self.numbers.items() if name.endswith("_token_id")}
        free = (n for n in range(self.words) if n not in ids.values())
        moved: dict[int, int] = {}
        for name, value in ids.items():
            if value >= self.words:
                yield name, moved[value] if value in moved else moved.setdefault(value, next(free))

    def _widths(self) -> Iterator[tuple[str, int]]:
        hidden = self._standard("hidden_size")
        heads = {name: value for name, value in self.numbers.items() if name.endswith(_HEADS) and value > 0}
        if hidden is None:
            return
        by = divisor(heads.values(), self.parts)
        few = {name: count // by if count > 1 else count for name, count in heads.items()}
        most = max(heads.values(), default=1)
        name, width = hidden
        each = (self._standard("head_dim") or ("", width // most))[1]
        small_each, small_width = self._head(width, each, heads, few)
        yield from few.items()
        for own, value in self.numbers.items():
            if own.endswith("head_dim") or own in ("d_kv", "kv_channels"):
                yield own, small_each if value == each else like(value, 1, min(8, value), step=2)
        yield name, small_width
        yield from self._inner(width, small_width, {name})

    def _head(self, width: int, each: int, heads: Sizes, few: Sizes) -> tuple[int, int]:
        """The width of a head, and that of the stream between the blocks."""
        most, small = max(heads.values(), default=1), max(few.values(), default=1)
        least = next(size for count, size in _WIDTHS.items() if small > count)
        step = self._turned()
        for size in range(max(least, step), each):
            if size % step or any(
                gcd(heads[n] * each, self.parts) != gcd(few[n] * size, self.parts) for n in heads
            ):
                continue
            if width == most * each:
                if gcd(width, self.parts) == gcd(small * size, self.parts):
                    return size, small * size
                continue
            near = max(32, small * size * width // (most * each))
            unit = small if width % most == 0 else 1
            return size, like(width, self.parts, near, step=unit, avoid={small * size})
        return each, width if width != most * each else small * each

    def _turned(self) -> int:
        """What divides a head: rotary positions turn pairs of numbers, of all or of a part of a head."""
        rope = getattr(self.config, "rope_parameters", None) or {}
        part = rope.get("partial_rotary_factor", 1.0) if isinstance(rope, dict) else 1.0
        return next((n for n in range(2, 129, 2) if n * part == int(n * part) and int(n * part) % 2 == 0), 2)

    def _inner(self, width: int, small: int, done: set[str]) -> Iterator[tuple[str, int]]:
        """Widths inside of the blocks: about what they are to the stream; equal ones stay equal."""
        known = {width: small}
        for name, value in self.numbers.items():
            if name in done or not (name.endswith((*_FFN, *_SAME, "lora_rank"))):
                continue
            if value not in known:
                near = min(max(small * value // width, small // 2), small * 3 // 2)
                known[value] = like(value, self.parts, max(near, 8), avoid=set(known.values()))
            yield name, known[value]
