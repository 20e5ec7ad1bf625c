"""What a net is: a model by reference, and a right plan for it as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from textwrap import dedent, indent
from typing import Any

HEAD = """\
plan {name}
mesh dp, tp
option sequence_parallel = true
let block  = blocks.*
let stream = shard(1) when sequence_parallel else replicate

tensor tp {{
{rules}
}}

fsdp dp {{
    block
    root
}}
"""
WHOLE_HEAD = HEAD.replace("option sequence_parallel = true\n", "").replace(
    "let stream = shard(1) when sequence_parallel else replicate\n", ""
)


@dataclass(frozen=True)
class Net:
    """A model, and the plan that is right for the net as it stands; a variant may break it."""

    reference: str
    plan: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the factory is called with: what tells a variant from its net."""


def plan(name: str, rules: str) -> str:
    """The text of a plan from its rules on tp. Where they name `stream`, the sequence can be split."""
    rules = indent(dedent(rules).strip(), "    ")
    return (HEAD if "stream" in rules else WHOLE_HEAD).format(name=name, rules=rules)


def nets(module: str, name: str, text: str, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Net]:
    """A net and its variants, by name: `NAME`, `NAME_VARIANT`. All of them have the plan of the net."""
    every: dict[str, Mapping[str, Any]] = {name: {}}
    every |= {f"{name}_{variant}": settings for variant, settings in variants.items()}
    return {key: Net(f"{module}:{key}", text, settings) for key, settings in every.items()}


def factory(
    table: Mapping[str, Net], makers: Mapping[str, Callable[..., Any]], name: str
) -> Callable[[], Any]:
    """The factory of a name: for the `__getattr__` of a module, so that a reference finds it.

    Raises:
        AttributeError: there is no such net.
    """
    if name not in table:
        raise AttributeError(name)
    base = max((key for key in makers if name == key or name.startswith(f"{key}_")), key=len)
    return partial(makers[base], **table[name].settings)
