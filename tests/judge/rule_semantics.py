"""What the rules of a plan say of a module, read by the judge's own few lines."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from tests.judge.communication import RANKS

LINEAR = {"colwise": {"weight": 0, "bias": 0}, "rowwise": {"weight": 1}}
EMBEDDING = {"colwise": {"weight": 1}, "rowwise": {"weight": 0}}
CONV1D = {"colwise": {"weight": 1, "bias": 0}, "rowwise": {"weight": 0}}
SHARDED_PARAMS = {"Linear": LINEAR, "Embedding": EMBEDDING, "Conv1D": CONV1D}
STYLE_INPUTS = {
    "colwise": "replicate",
    "packed_colwise": "replicate",
    "rowwise": "shard(-1)",
    "sequence": "shard(1)",
}
STYLE_OUTPUTS = {
    "colwise": ("shard(-1)", "shard(-1)"), "packed_colwise": ("shard(-1)", "shard(-1)"),
    "rowwise": ("partial", "replicate"), "sequence": ("shard(1)", "shard(1)"),
}  # fmt: skip


def matches(pattern: str, name: str, module: nn.Module) -> bool:
    """Whether a pattern stands for a module."""
    names, _, class_name = pattern.removesuffix("?").partition(":")
    if class_name and class_name not in [kind.__name__ for kind in type(module).__mro__]:
        return False
    if names == "root":
        return name == ""
    segments = re.split(r"\.(?![^{]*\})", re.sub(r"(\d+)\.\.(\d+)", _expand_range, names))
    return bool(name) and _match_segments(segments, name.split("."))


def _expand_range(found: re.Match[str]) -> str:
    return ",".join(str(i) for i in range(int(found[1]), int(found[2]) + 1))


def _match_segments(segments: list[str], names: list[str]) -> bool:
    if not segments:
        return not names
    first, *rest = segments
    if first == "**":
        return any(_match_segments(rest, names[i:]) for i in range(len(names) + 1))
    return bool(names) and _match_segment(first, names[0]) and _match_segments(rest, names[1:])


def _match_segment(segment: str, name: str) -> bool:
    if segment.startswith("!"):
        return name not in segment[2:-1].split(",")
    parts = re.split(r"(\*|\{[^}]*\})", segment)
    text = "".join(
        ".*"
        if part == "*"
        else f"({'|'.join(part[1:-1].split(','))})"
        if part[:1] == "{"
        else re.escape(part)
        for part in parts
    )
    return re.fullmatch(text, name) is not None


def parse_shard(text: str) -> tuple[int | None, int]:
    """The dim that a layout cuts, if it does, and its parts."""
    found = re.fullmatch(r"shard\((-?\d+)(?:, (\d+))?\)", text)
    return (int(found[1]), int(found[2] or 1)) if found else (None, 1)


def layout_dim(text: str, ndim: int) -> int | str:
    """A layout of a value: `replicate`, `partial`, or the dim, counted from the first."""
    dim = parse_shard(text)[0]
    if dim is None:
        return text
    if not -ndim <= dim < ndim:
        raise ValueError(f"{text} of a tensor of {ndim} dims")
    return dim % ndim


def local_shard(whole: Tensor, dim: int, parts: tuple[int, ...], rank: int) -> Tensor:
    """A rank's share of a tensor, each of whose parts is cut by itself."""
    parts = parts or (1,)
    unit, rest = divmod(whole.shape[dim], sum(parts))
    sizes = [unit * part for part in parts]
    if rest or any(size % RANKS for size in sizes):
        raise ValueError(f"{RANKS} ranks cannot share parts {sizes} of {tuple(whole.shape)}")
    return torch.cat([part.chunk(RANKS, dim)[rank] for part in whole.split(sizes, dim)], dim)


def input_ports(rule: dict[str, Any], module: nn.Module) -> list[tuple[Any, str, str]]:
    found: list[tuple[Any, str, str]] = []
    takes = STYLE_INPUTS.get(rule["style"] or "")
    if takes is not None:
        if rule["style"] == "rowwise" and isinstance(module, nn.Embedding):
            takes = "replicate"
        found.append(("", rule["input"] or takes, takes))
    return found + [tuple(port) for port in rule["inputs"]]


def first_tensor(args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
    for place, items in ((args, enumerate(args)), (kwargs, kwargs.items())):
        for key, item in items:
            if isinstance(item, Tensor):
                return place, key
    return None
