"""Smaller numbers for a configuration of transformers, by the meaning of their names."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from math import gcd
from typing import Any

from planc.torch.verify.equivalent_sizes import largest_head_divisor, shrink_experts, smallest_equivalent

ConfigSizes = dict[str, int]

_HEAD_COUNTS = ("heads", "n_head")
_FFN_WIDTHS = ("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size", "mlp_dim")
_TIED_WIDTHS = (
    "pooler_output_size",
    "word_embed_proj_dim",
    "embedding_size",
    "hidden_size",
    "projection_dim",
)
"""Widths that are another's, where they are as large."""
_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERT_GROUPS, _TOP_EXPERT_GROUPS = ("n_group",), ("topk_group",)
_TOP_K = ("num_experts_per_tok", "moe_topk", "moe_top_k")
_MIN_HEAD_DIMS = {64: 2, 16: 4, 0: 8}
"""Of a head, where there are more than so many of them."""
_MAX_HIDDEN = 256
"""All heads together, at most, where the width of one is to be divided as it was."""
_POSITION_COUNTS = ("max_position_embeddings", "n_positions", "max_target_positions")
MIN_POSITIONS = 64
MIN_VOCABULARY = 250
MIN_FRAMES = 24
MAX_WINDOW = 6


def nested_configs(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration and those inside of it, with what their names begin with."""
    yield prefix, config
    for name, value in vars(config).items():
        if hasattr(value, "to_dict") and not name.startswith("_"):
            yield from nested_configs(value, f"{prefix}{name}.")


def config_value(config: Any, name: str) -> Any:
    """What a configuration says; None where it says nothing, or another thing for each block."""
    with contextlib.suppress(Exception):  # some refuse such a question, with errors of their own
        return getattr(config, name, None)
    return None


def integer_settings(config: Any) -> ConfigSizes:
    """The whole numbers that a configuration is made of; those that it computes are left out."""
    takes = [name for name in inspect.signature(type(config).__init__).parameters if name != "self"]
    if not set(takes) & set(vars(config)):
        takes = list(vars(config))
    own: set[str] = set()
    with contextlib.suppress(Exception):  # what every configuration of the class has is computed
        own = set(vars(config)) - set(vars(type(config)()))
    values = {name: config_value(config, name) for name in (*takes, *sorted(own)) if not name.startswith("_")}
    return {name: value for name, value in values.items() if type(value) is int}


def shrink_widths(config: Any, ranks: int) -> dict[str, ConfigSizes]:
    """What is smaller, by groups that can be left out each.

    Args:
        parts: the ranks that share dims of the model; what divides them divides the same numbers as before.
    """
    found: dict[str, ConfigSizes] = {"positions": {}, "experts": {}, "vocabulary": {}, "widths": {}}
    for prefix, part in nested_configs(config):
        one = _ConfigShrinker(part, ranks)
        for group, sizes in one.changes().items():
            found[group].update({f"{prefix}{name}": size for name, size in sizes.items()})
    return found


class _ConfigShrinker:
    """Smaller numbers of one configuration."""

    def __init__(self, config: Any, ranks: int) -> None:
        self.config, self.ranks = config, ranks
        self.settings = integer_settings(config)

    def changes(self) -> Mapping[str, ConfigSizes]:
        widths = dict(self._widths())
        others = set(widths.values())  # a table that is square by chance would hide which dim is which
        return {
            "positions": dict(self._positions(others)),
            "experts": dict(self._experts()),
            "vocabulary": dict(self._vocabulary(others)),
            "widths": widths,
        }

    def _matching(self, *names: str) -> Iterator[tuple[str, int]]:
        return ((name, value) for name, value in self.settings.items() if name in names)

    def _canonical(self, name: str) -> tuple[str, int] | None:
        """A number by the name that most have for it: the own name, and how much it is."""
        own = (config_value(self.config, "attribute_map") or {}).get(name, name)
        value = self.settings.get(own, self.settings.get(name))
        return None if value is None else (own if own in self.settings else name, value)

    def _positions(self, avoid: set[int]) -> Iterator[tuple[str, int]]:
        if (
            config_value(self.config, "rope_parameters") is None
        ):  # a table of them, not what turning is tuned to
            for name, value in self._matching(*_POSITION_COUNTS):
                yield (
                    name,
                    smallest_equivalent(value, self.ranks, max(MIN_POSITIONS, 8 * self.ranks), avoid=avoid),
                )
        for name, value in self._matching("max_source_positions"):
            yield name, smallest_equivalent(value, self.ranks, MIN_FRAMES)
        for name, value in self._matching("sliding_window"):
            yield name, min(value, MAX_WINDOW) if value > 0 else value
        image, patch = self.settings.get("image_size"), self.settings.get("patch_size")
        if image and patch and image % patch == 0:
            side = image // patch
            shares = gcd(side * side, self.ranks)
            few = (n for n in range(3, side) if gcd(n * n, self.ranks) == shares and (side - n) % 2 == 0)
            yield "image_size", patch * next(few, side)

    def _experts(self) -> Iterator[tuple[str, int]]:
        groups = max((value for _, value in self._matching(*_EXPERT_GROUPS)), default=1)
        for name, count in self._matching(*_EXPERT_COUNTS):
            small, few = shrink_experts(count, groups, self.ranks)
            if small == count:
                continue
            yield name, small
            yield from ((own, few) for own, _ in self._matching(*_EXPERT_GROUPS))
            top = {own: max(1, value * few // groups) for own, value in self._matching(*_TOP_EXPERT_GROUPS)}
            yield from top.items()
            most = small // few * min(top.values(), default=few)
            yield from ((own, min(value, 2, most)) for own, value in self._matching(*_TOP_K))

    def _vocabulary(self, avoid: set[int]) -> Iterator[tuple[str, int]]:
        main = self._canonical("vocab_size")
        every = {name: value for name, value in self.settings.items() if name.endswith("vocab_size")}
        every.update([main] if main is not None else [])
        every = {name: value for name, value in every.items() if value > MIN_VOCABULARY}
        few = {
            name: smallest_equivalent(value, self.ranks, MIN_VOCABULARY, avoid=avoid)
            for name, value in every.items()
        }
        if few == every:  # or there is none
            return
        yield from few.items()
        least = min(few.values())
        ids = {name: value for name, value in self.settings.items() if name.endswith("_token_id")}
        free = (n for n in range(least) if n not in ids.values())
        moved: dict[int, int] = {}
        for name, value in ids.items():
            if value >= least:
                yield name, moved[value] if value in moved else moved.setdefault(value, next(free))

    def _widths(self) -> Iterator[tuple[str, int]]:
        hidden = self._canonical("hidden_size")
        heads = {
            name: value for name, value in self.settings.items() if name.endswith(_HEAD_COUNTS) and value > 0
        }
        if hidden is None:
            return
        by = largest_head_divisor(heads.values(), self.ranks)
        few = {name: count // by if count > 1 else count for name, count in heads.items()}
        name, width = hidden
        own = self._canonical("head_dim")
        each = own[1] if own is not None else width // max(heads.values(), default=1)
        others = self._other_head_dims(each, max(few.values(), default=1))
        small_each, small_width = self._head_dim_and_hidden(width, each, heads, few, set(others.values()))
        yield from few.items()
        for dim, value in self._head_dims():
            yield dim, small_each if value == each else others[value]
        yield name, small_width
        yield from self._inner_widths(width, small_width, {name})

    def _head_dims(self) -> Iterator[tuple[str, int]]:
        for name, value in self.settings.items():
            if name.endswith("head_dim") or name in ("d_kv", "kv_channels"):
                yield name, value

    def _other_head_dims(self, each: int, heads: int) -> dict[int, int]:
        """Widths of heads other than the usual one; different ones stay different."""
        found: dict[int, int] = {}
        for name, value in self._head_dims():
            if value not in (each, *found):
                # What is turned lies beside other numbers, in no head.
                is_fitted = "rope" in name or heads * max(gcd(value, self.ranks), 8) <= self._max_hidden()
                parts = self.ranks if is_fitted else 1
                found[value] = smallest_equivalent(
                    value, parts, min(8, value), step=2, avoid=set(found.values())
                )
        return found

    def _head_dim_and_hidden(
        self,
        hidden: int,
        head_dim: int,
        heads: ConfigSizes,
        small_heads: ConfigSizes,
        others: Collection[int],
    ) -> tuple[int, int]:
        """The width of a head, and that of the stream between the blocks."""
        most, small = max(heads.values(), default=1), max(small_heads.values(), default=1)
        is_tied = hidden == most * head_dim and not others
        unit = small if hidden % most == 0 else 1
        for size in self._head_dim_candidates(head_dim, heads, small_heads):
            if not is_tied:
                near = max(32, small * size * hidden // (most * head_dim))
                return size, smallest_equivalent(
                    hidden, self.ranks, near, step=unit, avoid={small * wide for wide in (size, *others)}
                )
            if gcd(hidden, self.ranks) == gcd(small * size, self.ranks):
                return size, small * size
        return head_dim, small * head_dim if is_tied else hidden

    def _head_dim_candidates(
        self, head_dim: int, heads: ConfigSizes, small_heads: ConfigSizes
    ) -> Iterator[int]:
        """Smaller widths of a head, such that all heads together are divided as they were, and where that is
        not much, a single one too: it may have a norm of its own."""
        small, step = max(small_heads.values(), default=1), self._rotary_multiple()
        fitting = gcd(head_dim, self.ranks)
        is_fitted = self._canonical("head_dim") is not None and small * max(fitting, 8) <= self._max_hidden()
        least = next(size for count, size in _MIN_HEAD_DIMS.items() if small > count)
        for size in range(max(least, step), head_dim):
            if size % step or (is_fitted and gcd(size, self.ranks) != fitting):
                continue
            if all(
                gcd(heads[n] * head_dim, self.ranks) == gcd(small_heads[n] * size, self.ranks) for n in heads
            ):
                yield size

    def _max_hidden(self) -> int:
        """How wide all heads together may become; experts come in numbers, and take more room."""
        return _MAX_HIDDEN // 2 if any(self._matching(*_EXPERT_COUNTS)) else _MAX_HIDDEN

    def _rotary_multiple(self) -> int:
        """What divides a head: rotary positions turn pairs of numbers, of all or of a part of a head."""
        rope = config_value(self.config, "rope_parameters") or {}
        part = rope.get("partial_rotary_factor", 1.0) if isinstance(rope, dict) else 1.0
        return next((n for n in range(2, 129, 2) if n * part == int(n * part) and int(n * part) % 2 == 0), 2)

    def _inner_widths(self, width: int, small: int, done: set[str]) -> Iterator[tuple[str, int]]:
        """Widths inside of the blocks: about what they are to the stream; equal ones stay equal."""
        known = {width: small}
        least = small // (4 if any(self._matching(*_EXPERT_COUNTS)) else 2)
        for name, value in self.settings.items():
            if name in done or not (name.endswith((*_FFN_WIDTHS, *_TIED_WIDTHS, "lora_rank"))):
                continue
            if value not in known:
                near = min(max(small * value // width, least), small * 5 // 4)
                known[value] = smallest_equivalent(value, self.ranks, max(near, 8), avoid=set(known.values()))
            yield name, known[value]
