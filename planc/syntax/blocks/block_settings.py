"""Settings of a block, as `params: bf16, reduce: fp32`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from planc.ir.block_kinds import SettingValues
from planc.ir.blocks import Setting
from planc.ir.diagnostic import Label
from planc.ir.expr import format_value
from planc.ir.pattern import Pattern
from planc.ir.text_fixes import replacement_fix
from planc.syntax.blocks.entries import EntryLine
from planc.syntax.spanned import Spanned

if TYPE_CHECKING:
    from planc.syntax.tree_reader import TreeReader


def decode_settings(tree: Any, reader: TreeReader, override: bool) -> Spanned[list[Spanned[Setting]]]:
    """The settings of one line."""
    nodes = []
    for setting in tree.children:
        key, token = setting.children
        value: str | bool | int | None = str(token)
        if token.type == "INT":
            value = reader.integer(token)
        elif token.type in ("TRUE", "FALSE"):
            value = token.type == "TRUE"
        if value is not None:
            fields = {"name": reader.name(key), "value": Spanned(value, token)}
            nodes.append(Spanned(Setting(str(key), value, override), setting, fields))
    return Spanned(nodes, tree)


def report_missing_blank(node: Spanned[Pattern], known: SettingValues, reader: TreeReader) -> None:
    """Report a pattern with a class, `params:bf16`, that is meant as a setting."""
    name = str(node.value.segments[0][0])
    if node.value.class_name and len(node.value.segments) == 1 and name in known:
        fix = replacement_fix(Label(reader.source, node.span), f"{name}: {node.value.class_name}")
        reader.report("S001", node.tree, "a space is missing after ':'", "a module and its class", fix=fix)


def encode_settings(settings: Sequence[Setting]) -> list[EntryLine]:
    """The lines of settings: those that follow each other, with or without `override`, share one."""
    return [_line(list(same)) for _, same in groupby(settings, key=lambda setting: setting.override)]


def _line(settings: list[Setting]) -> EntryLine:
    text = ", ".join(
        f"{s.name}: {format_value(s.value) if isinstance(s.value, bool | int) else s.value}" for s in settings
    )
    return EntryLine((text,), settings[0].override)
