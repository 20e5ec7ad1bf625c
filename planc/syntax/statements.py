"""Decodes the statements of a plan: syntax tree to `Plan`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.expr import Const
from planc.ir.layout import KEYWORD_LAYOUTS, Layout
from planc.ir.plan import Accept, Axis, LayoutLet, Mesh, Option, PatternLet, Plan, Require
from planc.syntax.blocks.block_codec import codec_of
from planc.syntax.parse_tree import ParseTree
from planc.syntax.spanned import Spanned, spanned_items, spanned_values
from planc.syntax.tree_reader import TreeReader

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SINGLE = ("name", "extends", "model", "mesh")
_MANY = {"option": "options", "let": "lets", "require": "requires", "accept": "accepts", "block": "blocks"}


def decode_plan(tree: ParseTree, reader: TreeReader) -> Spanned[Plan]:
    """The plan in a syntax tree, with the spans of all its fields."""
    found: dict[str, list[Spanned[Any]]] = {kind: [] for kind in (*_SINGLE, *_MANY)}
    for statement in tree.children:
        kind, override = statement.data, False  # type: ignore[union-attr]
        if kind == "override":
            statement, override = statement.children[0], True  # type: ignore[union-attr]
            kind = statement.data  # type: ignore[union-attr]
        if kind in BLOCK_KINDS:
            node: Spanned[Any] | None = codec_of(kind).decode(statement, reader)
            kind = "block"
        else:
            node = _READERS[kind](statement, reader, override)
        if node is not None:
            found[kind].append(node)
    fields: dict[str, Spanned[Any]] = {}
    for kind in _SINGLE:
        first, *repeated = found[kind] or (None,)
        if first is not None:
            fields[kind] = first
        for extra in repeated:
            word = "plan" if kind == "name" else kind
            reader.report("N106", extra.tree, f"'{word}' is declared twice", "declared again", "help: leave one out",
                         secondary=((first.tree, "declared first"),) if first else ())  # fmt: skip
    values: dict[str, Any] = {kind: node.value for kind, node in fields.items()}
    for kind, field in _MANY.items():
        fields[field] = spanned_items(found[kind])
        values[field] = spanned_values(found[kind])
    return Spanned(Plan(**values), (0, 0), fields)


def _name(tree: Any, reader: TreeReader, override: bool) -> Spanned[str]:
    return reader.name(tree.children[0])


def _model(tree: Any, reader: TreeReader, override: bool) -> Spanned[str]:
    return reader.text(tree.children[0])


def _extends(tree: Any, reader: TreeReader, override: bool) -> Spanned[str]:
    """A bare name is a shipped plan; a name in quotes is a file, however short."""
    token = tree.children[0]
    if token.type == "NAME":
        return reader.name(token)
    path = reader.text(token)
    return Spanned(f"./{path.value}", token) if _NAME.fullmatch(path.value) else path


def _mesh(tree: Any, reader: TreeReader, override: bool) -> Spanned[Mesh]:
    axes = [_axis(child, reader) for child in tree.children]
    return Spanned(Mesh(spanned_values(axes), override), tree, {"axes": spanned_items(axes)})


def _axis(tree: Any, reader: TreeReader) -> Spanned[Axis]:
    name, *size = tree.children
    value: Any = None
    fields = {"name": reader.name(name)}
    if size:
        value = reader.integer(size[0]) if size[0].type == "INT" else str(size[0])
        fields["size"] = Spanned(value, size[0])
        if isinstance(value, str) and value != "auto":
            reader.report("M205", size[0], f"'{value}' is not a size", "", "needed: a number, or auto")
            value = None
    return Spanned(Axis(str(name), value), tree, fields)


def _option(tree: Any, reader: TreeReader, override: bool) -> Spanned[Option] | None:
    name, value = tree.children
    const = reader.expr(value)
    if const is None:
        return None
    if not isinstance(const.value, Const):
        reader.report("R304", value, "the default of an option is a constant", "",
                     "needed: true, false or a number")  # fmt: skip
        return None
    fields = {"name": reader.name(name), "value": const}
    return Spanned(Option(str(name), const.value.value, override), tree, fields)


def _let(tree: Any, reader: TreeReader, override: bool) -> Spanned[Any] | None:
    """`let block = model.layers.*`, or `let stream = shard(1) when a else replicate`."""
    name, first, *middle, otherwise = tree.children
    fields: dict[str, Spanned[Any]] = {"name": reader.name(name)}
    if not middle and not otherwise.children and str(first) not in KEYWORD_LAYOUTS:
        pattern = reader.pattern(first)
        if pattern is None:
            return None
        fields["pattern"] = pattern
        return Spanned(PatternLet(str(name), pattern.value, override), tree, fields)
    layout = _let_layout(first, middle, tree, reader)
    if layout is None:
        return None
    fields["layout"] = layout
    if not otherwise.children:
        return Spanned(LayoutLet(str(name), layout.value, override=override), tree, fields)
    when, other = reader.expr(otherwise.children[0]), reader.layout(otherwise.children[1])
    if when is None or other is None:
        return None
    fields |= {"when": when, "otherwise": other}
    let = LayoutLet(str(name), layout.value, when.value, other.value, override)
    return Spanned(let, tree, fields)


def _let_layout(first: Any, items: list[Any], tree: ParseTree, reader: TreeReader) -> Spanned[Layout] | None:
    """The first layout of a let: the lexer makes it a pattern."""
    if not all(c.isalnum() or c == "_" for c in first):
        reader.report("S001", first, "this is not a layout", "", "needed: shard(DIM), replicate or partial")
        return None
    call = type(tree)("call", [first, *items])
    return reader.layout(call)


def _require(tree: Any, reader: TreeReader, override: bool) -> Spanned[Require] | None:
    condition = reader.expr(tree.children[1])
    if condition is None:
        return None
    fields: dict[str, Spanned[Any]] = {"condition": condition}
    if len(tree.children) > 2:
        fields["why"] = reader.text(tree.children[2])
    why = fields["why"].value if "why" in fields else None
    return Spanned(Require(condition.value, why), tree, fields)


def _accept(tree: Any, reader: TreeReader, override: bool) -> Spanned[Accept] | None:
    code, name, reason = tree.children[0], reader.pattern(tree.children[1]), reader.text(tree.children[2])
    if name is None:
        return None
    fields = {"code": reader.name(code), "pattern": name, "reason": reason}
    return Spanned(Accept(str(code), name.value, reason.value), tree, fields)


_READERS: dict[str, Callable[[Any, TreeReader, bool], Spanned[Any] | None]] = {
    "name": _name,
    "extends": _extends,
    "model": _model,
    "mesh": _mesh,
    "option": _option,
    "let": _let,
    "require": _require,
    "accept": _accept,
}
