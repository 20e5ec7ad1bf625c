"""Smaller sizes for a configuration of transformers, recognized by their names."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from math import gcd
from typing import Any

from planc.torch.models.config_sizes import config_value, nested_configs
from planc.torch.verify.equivalent_sizes import largest_head_divisor, shrink_experts, smallest_equivalent

WidthChanges = dict[str, int]

_HEAD_COUNTS = ("heads", "n_head")
_FFN_WIDTHS = ("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size", "mlp_dim")
_TIED_WIDTHS = (
    "pooler_output_size",
    "word_embed_proj_dim",
    "embedding_size",
    "hidden_size",
    "projection_dim",
)
"""Widths that follow another width, where both are equal."""
_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERT_GROUPS, _TOP_EXPERT_GROUPS = ("n_group",), ("topk_group",)
_TOP_K = ("num_experts_per_tok", "moe_topk", "moe_top_k")
_MIN_HEAD_DIMS = {64: 2, 16: 4, 0: 8}
"""The least width of a head, by the number of heads that a model has more than."""
_MAX_HIDDEN = 256
"""The largest width of all heads together for which a single head, too, stays divisible as it was."""
_POSITION_COUNTS = ("max_position_embeddings", "n_positions", "max_target_positions")
MIN_POSITIONS = 64
MIN_VOCABULARY = 250
MIN_FRAMES = 24
"""Of audio."""
MAX_WINDOW = 6
"""Of sliding attention: shorter than the sequences of every scenario."""


def integer_settings(config: Any) -> WidthChanges:
    """The integers that a configuration is made from; those that it computes are left out."""
    takes = [name for name in inspect.signature(type(config).__init__).parameters if name != "self"]
    if not set(takes) & set(vars(config)):
        takes = list(vars(config))
    own: set[str] = set()
    with contextlib.suppress(Exception):  # an attribute that a default configuration has too is computed
        own = set(vars(config)) - set(vars(type(config)()))
    values = {name: config_value(config, name) for name in (*takes, *sorted(own)) if not name.startswith("_")}
    return {name: value for name, value in values.items() if type(value) is int}


def keeps_named_size(config: Any, sizes: WidthChanges, kept: Collection[int]) -> bool:
    """Whether smaller sizes would change one that is to be kept."""

    def current(name: str) -> Any:
        found = config
        for part in name.split("."):
            found = config_value(found, part)
        return found

    return any(value in kept and value != size for name, size in sizes.items() for value in [current(name)])


def shrink_widths(config: Any, ranks: int, kept: Collection[int] = ()) -> dict[str, WidthChanges]:
    """Smaller sizes, in groups each of which can be left out.

    Args:
        ranks: how many ranks divide dims of the model; the small sizes are divisible as the large ones are.
        kept: sizes that stay. A group that cannot keep one stays as it is.
    """
    changes: dict[str, WidthChanges] = {"positions": {}, "experts": {}, "vocabulary": {}, "widths": {}}
    for prefix, nested in nested_configs(config):
        for group, sizes in _ConfigShrinker(nested, ranks, kept).changes().items():
            if keeps_named_size(nested, sizes, kept):
                continue
            changes[group].update({f"{prefix}{name}": size for name, size in sizes.items()})
    changes["vocabulary"] |= _moved_tokens(config, changes["vocabulary"])
    return changes


def _moved_tokens(config: Any, vocabulary: WidthChanges) -> WidthChanges:
    """Ids for the special tokens of other configurations than that of the vocabulary, as those that stand for images."""
    limit = min((size for name, size in vocabulary.items() if name.endswith("vocab_size")), default=None)
    ids = {
        f"{prefix}{name}": value
        for prefix, nested in nested_configs(config)
        for name, value in integer_settings(nested).items()
        if name.endswith(("_token_id", "_token_index"))
    }
    if limit is None:
        return {}
    taken = {*ids.values(), *vocabulary.values()}
    unused = (token for token in range(limit) if token not in taken)
    moved: dict[int, int] = {}
    return {
        name: moved[value] if value in moved else moved.setdefault(value, next(unused))
        for name, value in ids.items()
        if value >= limit and name not in vocabulary
    }


class _ConfigShrinker:
    """Smaller sizes of one configuration."""

    def __init__(self, config: Any, ranks: int, kept: Collection[int]) -> None:
        self.config, self.ranks, self.kept = config, ranks, kept
        self.settings = integer_settings(config)

    def changes(self) -> Mapping[str, WidthChanges]:
        """The smaller sizes, by group."""
        widths = dict(self._widths())
        avoid = set(widths.values())  # in a square table the dims could not be told apart
        return {
            "positions": dict(self._positions(avoid)),
            "experts": dict(self._experts()),
            "vocabulary": dict(self._vocabulary(avoid)),
            "widths": widths,
        }

    def _matching(self, *names: str) -> Iterator[tuple[str, int]]:
        return ((name, value) for name, value in self.settings.items() if name in names)

    def _canonical(self, name: str) -> tuple[str, int] | None:
        """A setting by its common name: the configuration's own name for it, and its value."""
        own = (config_value(self.config, "attribute_map") or {}).get(name, name)
        value = self.settings.get(own, self.settings.get(name))
        return None if value is None else (own if own in self.settings else name, value)

    def _positions(self, avoid: set[int]) -> Iterator[tuple[str, int]]:
        # With rotary positions there is no table of them, and the setting scales the rotation.
        if config_value(self.config, "rope_parameters") is None:
            least = max(MIN_POSITIONS, 8 * self.ranks)
            for name, value in self._matching(*_POSITION_COUNTS):
                yield name, smallest_equivalent(value, self.ranks, least, avoid=avoid)
        for name, value in self._matching("max_source_positions"):
            yield name, smallest_equivalent(value, self.ranks, MIN_FRAMES)
        for name, value in self._matching("sliding_window"):
            yield name, min(value, MAX_WINDOW) if value > 0 else value
        image, patch = self.settings.get("image_size"), self.settings.get("patch_size")
        if image and patch and image % patch == 0:
            side = image // patch
            shared = gcd(side * side, self.ranks)
            smaller = (n for n in range(3, side) if gcd(n * n, self.ranks) == shared and (side - n) % 2 == 0)
            yield "image_size", patch * next(smaller, side)

    def _experts(self) -> Iterator[tuple[str, int]]:
        groups = max((value for _, value in self._matching(*_EXPERT_GROUPS)), default=1)
        for name, count in self._matching(*_EXPERT_COUNTS):
            small_count, small_groups = shrink_experts(count, groups, self.ranks)
            if small_count == count:
                continue
            yield name, small_count
            yield from ((own, small_groups) for own, _ in self._matching(*_EXPERT_GROUPS))
            top_groups = {
                own: max(1, value * small_groups // groups)
                for own, value in self._matching(*_TOP_EXPERT_GROUPS)
            }
            yield from top_groups.items()
            selectable = small_count // small_groups * min(top_groups.values(), default=small_groups)
            yield from ((own, min(value, 2, selectable)) for own, value in self._matching(*_TOP_K))

    def _vocabulary(self, avoid: set[int]) -> Iterator[tuple[str, int]]:
        main = self._canonical("vocab_size")
        sizes = {name: value for name, value in self.settings.items() if name.endswith("vocab_size")}
        sizes.update([main] if main is not None else [])
        sizes = {name: value for name, value in sizes.items() if value > MIN_VOCABULARY}
        small_sizes = {
            name: smallest_equivalent(value, self.ranks, MIN_VOCABULARY, avoid=avoid)
            for name, value in sizes.items()
        }
        if small_sizes == sizes:  # also where there is no vocabulary
            return
        yield from small_sizes.items()
        limit = min(small_sizes.values())
        special = {name: value for name, value in self.settings.items() if name.endswith("_token_id")}
        unused = (token for token in range(limit) if token not in special.values())
        moved: dict[int, int] = {}
        for name, value in special.items():
            if value >= limit:
                yield name, moved[value] if value in moved else moved.setdefault(value, next(unused))

    def _widths(self) -> Iterator[tuple[str, int]]:
        canonical_hidden = self._canonical("hidden_size")
        heads = {
            name: value for name, value in self.settings.items() if name.endswith(_HEAD_COUNTS) and value > 0
        }
        if canonical_hidden is None:
            return
        hidden_name, hidden = canonical_hidden
        # All of them or none: the ratio of query heads to key and value heads stays.
        are_kept = any(count in self.kept for count in heads.values())
        divisor = 1 if are_kept else largest_head_divisor(heads.values(), self.ranks)
        small_heads = {name: count // divisor if count > 1 else count for name, count in heads.items()}
        canonical_head_dim = self._canonical("head_dim")
        if canonical_head_dim is not None:
            head_dim = canonical_head_dim[1]
        else:
            head_dim = hidden // max(heads.values(), default=1)
        others = self._other_head_dims(head_dim, max(small_heads.values(), default=1))
        small_head_dim, small_hidden = self._head_dim_and_hidden(
            hidden, head_dim, heads, small_heads, set(others.values())
        )
        yield from small_heads.items()
        for name, value in self._head_dims():
            yield name, small_head_dim if value == head_dim else others[value]
        yield hidden_name, small_hidden
        yield from self._inner_widths(hidden, small_hidden, {hidden_name})

    def _head_dims(self) -> Iterator[tuple[str, int]]:
        for name, value in self.settings.items():
            if name.endswith("head_dim") or name in ("d_kv", "kv_channels"):
                yield name, value

    def _other_head_dims(self, head_dim: int, heads: int) -> dict[int, int]:
        """Small widths of heads other than the usual one; different widths stay different."""
        small: dict[int, int] = {}
        for name, value in self._head_dims():
            if value not in (head_dim, *small):
                # The rotary part of a head has a projection of its own, whose width stays divisible.
                is_divisible = "rope" in name or heads * max(gcd(value, self.ranks), 8) <= self._max_hidden()
                ranks = self.ranks if is_divisible else 1
                small[value] = smallest_equivalent(
                    value, ranks, min(8, value), step=2, avoid=set(small.values())
                )
        return small

    def _head_dim_and_hidden(
        self,
        hidden: int,
        head_dim: int,
        heads: WidthChanges,
        small_heads: WidthChanges,
        others: Collection[int],
    ) -> tuple[int, int]:
        """The small width of a head, and the small hidden size."""
        most, small_most = max(heads.values(), default=1), max(small_heads.values(), default=1)
        is_tied = hidden == most * head_dim and not others
        step = small_most if hidden % most == 0 else 1
        for size in self._head_dim_candidates(head_dim, heads, small_heads):
            if not is_tied:
                least = max(32, small_most * size * hidden // (most * head_dim))
                avoid = {small_most * width for width in (size, *others)}
                return size, smallest_equivalent(hidden, self.ranks, least, step=step, avoid=avoid)
            if gcd(hidden, self.ranks) == gcd(small_most * size, self.ranks):
                return size, small_most * size
        return head_dim, small_most * head_dim if is_tied else hidden

    def _head_dim_candidates(
        self, head_dim: int, heads: WidthChanges, small_heads: WidthChanges
    ) -> Iterator[int]:
        """Small widths of a head for which all heads together stay divisible as they were. Where that does not
        make the model large, a single head does too, since it may have a norm of its own."""
        small_most, step = max(small_heads.values(), default=1), self._rotary_multiple()
        shared = gcd(head_dim, self.ranks)
        is_single_divisible = (
            self._canonical("head_dim") is not None and small_most * max(shared, 8) <= self._max_hidden()
        )
        least = next(size for count, size in _MIN_HEAD_DIMS.items() if small_most > count)
        for size in range(max(least, step), head_dim):
            if size % step or (is_single_divisible and gcd(size, self.ranks) != shared):
                continue
            if all(
                gcd(heads[name] * head_dim, self.ranks) == gcd(small_heads[name] * size, self.ranks)
                for name in heads
            ):
                yield size

    def _max_hidden(self) -> int:
        """The largest width of all heads together; less in a model of experts, which has many weights anyway."""
        return _MAX_HIDDEN // 2 if any(self._matching(*_EXPERT_COUNTS)) else _MAX_HIDDEN

    def _rotary_multiple(self) -> int:
        """A divisor of the width of a head: rotary positions rotate pairs of entries, of all or part of a head."""
        rope = config_value(self.config, "rope_parameters") or {}
        part = rope.get("partial_rotary_factor", 1.0) if isinstance(rope, dict) else 1.0
        return next((n for n in range(2, 129, 2) if n * part == int(n * part) and int(n * part) % 2 == 0), 2)

    def _inner_widths(self, hidden: int, small_hidden: int, done: set[str]) -> Iterator[tuple[str, int]]:
        """Small widths inside of the layers, in about the same ratio to the hidden size; equal ones stay equal."""
        known = {hidden: small_hidden}
        lower = small_hidden // (4 if any(self._matching(*_EXPERT_COUNTS)) else 2)
        for name, value in self.settings.items():
            if name in done or not (name.endswith((*_FFN_WIDTHS, *_TIED_WIDTHS, "lora_rank"))):
                continue
            if value not in known:
                least = min(max(small_hidden * value // hidden, lower), small_hidden * 5 // 4)
                known[value] = (
                    value
                    if value in self.kept
                    else smallest_equivalent(value, self.ranks, max(least, 8), avoid=set(known.values()))
                )
            yield name, known[value]
