"""Settings of a block, as `params: bf16, reduce: fp32`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from planc.blocks.lines import Line
from planc.ir.diagnostic import Label, replace
from planc.ir.expr import show
from planc.ir.node import Node
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import Number, TextLine

if TYPE_CHECKING:
    from planc.text.reader import Reader

Known = Mapping[str, tuple[str | bool, ...] | None]
"""The settings of a kind of block, and the values that each takes; None: any name."""


class Setting(Record):
    """A setting of a block, as `params: bf16`."""

    name: TextLine
    value: TextLine | bool | Number
    override: bool = False


def read_settings(branch: Any, reader: Reader, override: bool) -> Node[list[Node[Setting]]]:
    """The settings of one line."""
    nodes = []
    for setting in branch.children:
        key, token = setting.children
        value: str | bool | int | None = str(token)
        if token.type == "INT":
            value = reader.integer(token)
        elif token.type in ("TRUE", "FALSE"):
            value = token.type == "TRUE"
        if value is not None:
            parts = {"name": reader.name(key), "value": Node(value, token)}
            nodes.append(Node(Setting(str(key), value, override), setting, parts))
    return Node(nodes, branch)


def fault_of_blanks(node: Node[Pattern], known: Known, reader: Reader) -> None:
    """Report a pattern with a class, `params:bf16`, that is meant as a setting."""
    name = str(node.value.segments[0][0])
    if node.value.class_name and len(node.value.segments) == 1 and name in known:
        fix = replace(Label(reader.source, node.span), f"{name}: {node.value.class_name}")
        reader.fault("S001", node.branch, "a blank is missing after ':'", "a module and its class", fix=fix)


def write_settings(settings: Sequence[Setting]) -> list[Line]:
    """The lines of settings: those that follow each other, with or without `override`, share one."""
    return [_line(list(same)) for _, same in groupby(settings, key=lambda setting: setting.override)]


def _line(settings: list[Setting]) -> Line:
    text = ", ".join(
        f"{s.name}: {show(s.value) if isinstance(s.value, bool | int) else s.value}" for s in settings
    )
    return Line((text,), settings[0].override)
