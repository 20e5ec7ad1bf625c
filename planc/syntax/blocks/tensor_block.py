"""`tensor AXIS { ... }`: tensor parallelism, a rule a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planc.closest import closest_match, join_names
from planc.ir.blocks import Attribute, Loss, ParamLayout, Part, Port, Rule, Setting, TensorBlock
from planc.ir.diagnostic import Label
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.styles import STYLES
from planc.ir.text_fixes import replacement_fix
from planc.syntax.blocks.block_codec import BlockCodec
from planc.syntax.blocks.block_settings import decode_settings, encode_settings
from planc.syntax.blocks.entries import (
    EntryLine,
    decode_entries,
    encode_removes,
    format_call,
    last_cell,
    records_of,
)
from planc.syntax.spanned import Spanned, spanned_items, spanned_values

if TYPE_CHECKING:
    from planc.syntax.tree_reader import CallArgument, CallSyntax, TreeReader

GRAMMAR = r"""
// tensor tp { ... }
tensor: _TENSOR NAME LBRACE _rules RBRACE
_rules: _rule? | _rules _NEWLINE _rule?
_rule: rule | loss | settings | override_rule | remove
override_rule: _OVERRIDE (rule | loss | settings)

// block.self_attn.o_proj  rowwise -> stream  when sequence_parallel
// block.self_attn         inputs(hidden_states: stream -> replicate)
rule: PATTERN call+ (ARROW call*)? when

// loss vocab_parallel
loss: _LOSS NAME when

_TENSOR.2: /tensor\b/
_LOSS.3: /loss(?=[ \t])/
"""


# ---- text to records ---------------------------------------------------------


def decode_tensor(branch: Any, reader: TreeReader) -> Spanned[TensorBlock]:
    axis = reader.name(branch.children[0])
    entries = decode_entries(branch, reader, {"rule": _rule, "loss": _loss, "settings": decode_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    losses = entries["loss"]
    for extra in losses[1:]:
        reader.report("N106", extra.tree, "the loss of this axis is declared twice")
    rules, remove = entries["rule"], entries["remove"]
    loss = losses[0] if losses else None
    block = TensorBlock(
        axis.value,
        spanned_values(rules),
        loss.value if loss else None,
        spanned_values(remove),
        spanned_values(settings),
    )
    parts = {
        "axis": axis, "rules": spanned_items(rules), "remove": spanned_items(remove), "settings": spanned_items(settings),
    }  # fmt: skip
    return Spanned(block, branch, parts | ({"loss": loss} if loss else {}))


def _loss(branch: Any, reader: TreeReader, override: bool) -> Spanned[Loss]:
    style = reader.name(branch.children[0])
    when = reader.when(branch.children[1])
    parts = {"style": style} | ({"when": when} if when else {})
    return Spanned(Loss(style.value, when.value if when else None, override), branch, parts)


def _rule(branch: Any, reader: TreeReader, override: bool) -> Spanned[Rule] | None:
    children = branch.children
    before: list[CallSyntax] = []
    after: list[CallSyntax] = []
    arrow = False
    for child in children[1:-1]:
        if not hasattr(child, "children"):
            arrow = True
        else:
            (after if arrow else before).append(reader.call(child))
    parts: dict[str, Any] = {"pattern": reader.pattern(children[0])}
    if children[-1].children:
        parts["when"] = reader.when(children[-1])
    words = [c for c in before if str(c.name) not in RULE_CLAUSES]
    if words:
        _style(words, arrow, reader, parts)
    elif arrow:
        reader.report("R304", branch, "'->' is only allowed after a style", "",
                     "help: at a module without a style, write inputs(0: ... -> ...)")  # fmt: skip
        parts["output"] = None
    outs = [c for c in after if str(c.name) not in RULE_CLAUSES]
    if arrow and words and len(words) < 2 and not outs:
        reader.report(
            "R304",
            branch,
            "'->' needs a layout on at least one side",
            "",
            "needed: IN -> OUT, or one of them",
        )
    if outs and words:
        parts["output"] = reader.call_layout(outs[0])
    for call_ in (*words[2:], *words[1:2] * (not arrow), *outs[1:]):
        reader.report("R304", call_.tree, f"'{call_.name}' is not allowed here",
                     "", "needed: one style, and layouts on both sides of '->'")  # fmt: skip
        parts["style"] = None
    for call_ in (*before, *after):
        if facet := RULE_CLAUSES.get(str(call_.name)):
            _facet(call_, facet, reader, parts)
    if None in parts.values():
        return None  # said above, where it was read
    fields: dict[str, Any] = {
        k: n.value if n.tree is not None else spanned_values(n.fields.values()) for k, n in parts.items()
    }
    return Spanned(Rule(**fields, override=override), branch, parts)


def _style(words: list[CallSyntax], arrow: bool, reader: TreeReader, parts: dict[str, Any]) -> None:
    style = words[0]
    parts["style"] = reader.name(style.name)
    if style.arguments == []:
        reader.report("R304", style.tree, f"the brackets of '{style.name}' are empty")
        parts["style"] = None
        return
    if style.arguments and str(style.name) not in STYLES and _is_facet(style):
        label = Label(reader.source, parts["style"].span, "no such style")
        reader.report("N101", style.name, f"there is no style '{style.name}'", label.text,
                     f"needed: {join_names(STYLES)}, or {join_names(RULE_CLAUSES)}",
                     fix=replacement_fix(label, closest_match(str(style.name), RULE_CLAUSES)))  # fmt: skip
        parts["style"] = None
        return
    if style.arguments is not None:
        read_parts = [_part(item, reader) for item in style.arguments]
        known = [part for part in read_parts if part is not None]
        parts["parts"] = spanned_items(known) if len(known) == len(read_parts) else None
    if len(words) > 1 and arrow:
        parts["input"] = reader.call_layout(words[1])


def _is_facet(style: CallSyntax) -> bool:
    """Whether a word that is no style has the arguments, or nearly the name, of a facet."""
    if any(item.after is not None for item in style.arguments or ()):
        return True
    return closest_match(str(style.name), RULE_CLAUSES) is not None


def _facet(call_: CallSyntax, facet: Any, reader: TreeReader, parts: dict[str, Any]) -> None:
    name = str(call_.name)
    if name in parts:
        reader.report("R304", call_.tree, f"'{name}' is given twice in one rule")
        parts["style"] = None
        return
    needed, item = facet
    nodes = []
    for each in call_.arguments or ():
        node = item(each, reader)
        if node is _MALFORMED:
            reader.report("R304", each.tree, f"'{name}' does not take this argument", "", f"needed: {needed}")
        nodes.append(node)
    if not nodes:
        reader.report("R304", call_.tree, f"'{name}' needs arguments", "", f"needed: {needed}")
    parts[name] = None if not nodes or None in nodes or _MALFORMED in nodes else spanned_items(nodes)


_MALFORMED: Spanned[Any] = Spanned(None, None)


def _part(item: CallArgument, reader: TreeReader) -> Spanned[Part] | None:
    if item.after is not None or (item.key is not None and item.key.type != "NAME"):
        reader.report("R304", item.tree, "a style takes no layouts in its brackets", "",
                     "help: layouts stand after it, as in 'colwise stream -> shard(-1)'")  # fmt: skip
        return None
    size = reader.expr(item.value)
    if size is None:
        return None
    name = None if item.key is None else str(item.key)
    return Spanned(Part(size.value, name), item.tree, {"size": size})


def _port(item: CallArgument, reader: TreeReader) -> Spanned[Port] | None:
    if item.key is None or item.after is None:
        return _MALFORMED
    if item.key.type == "DOTTED":
        return _MALFORMED
    key = reader.integer(item.key) if item.key.type == "INT" else str(item.key)
    before, after = reader.layout(item.value), reader.layout(item.after)
    if key is None or before is None or after is None:
        return None
    parts = {"before": before, "after": after}
    return Spanned(Port(key, before.value, after.value), item.tree, parts)


def _param(item: CallArgument, reader: TreeReader) -> Spanned[ParamLayout] | None:
    if item.key is None or item.key.type != "NAME" or item.after is not None:
        return _MALFORMED
    layout = reader.layout(item.value)
    if layout is None:
        return None
    return Spanned(ParamLayout(str(item.key), layout.value), item.tree, {"layout": layout})


def _attribute(item: CallArgument, reader: TreeReader) -> Spanned[Attribute] | None:
    if item.key is None or item.key.type not in ("NAME", "DOTTED") or item.after is not None:
        return _MALFORMED
    value = reader.expr(item.value)
    if value is None:
        return None
    return Spanned(Attribute(str(item.key), value.value), item.tree, {"value": value})


RULE_CLAUSES: dict[str, tuple[str, Any]] = {
    "inputs": ("POSITION or KEYWORD: LAYOUT -> LAYOUT", _port),
    "outputs": ("POSITION or KEYWORD: LAYOUT -> LAYOUT", _port),
    "params": ("NAME: LAYOUT", _param),
    "attributes": ("NAME: EXPRESSION", _attribute),
}
"""What a rule may say beside its style: what it takes, and how an argument is read."""


def tensor_from_records(records: Sequence[Record]) -> TensorBlock:
    loss = next((r for r in records if isinstance(r, Loss)), None)
    return TensorBlock(
        "", records_of(records, Rule), loss, records_of(records, Pattern), records_of(records, Setting)
    )


# ---- records to text ---------------------------------------------------------


def encode_tensor(block: TensorBlock) -> tuple[str, list[EntryLine]]:
    lines = [
        *encode_removes(block.remove), *encode_settings(block.settings), *map(encode_rule, block.rules),
    ]  # fmt: skip
    if block.loss:
        lines.append(encode_loss(block.loss))
    return f"tensor {block.axis}", lines


def encode_loss(loss: Loss) -> EntryLine:
    return EntryLine(("loss", loss.style, last_cell(when=loss.when)), loss.override)


def encode_rule(rule: Rule) -> EntryLine:
    facets = [
        format_call("inputs", [f"{p.key}: {p.before} -> {p.after}" for p in rule.inputs]),
        format_call("outputs", [f"{p.key}: {p.before} -> {p.after}" for p in rule.outputs]),
        format_call("params", [f"{p.name}: {p.layout}" for p in rule.params]),
        format_call("attributes", [f"{a.name}: {a.value}" for a in rule.attributes]),
    ]
    said = [facet for facet in facets if facet]
    if rule.style is None:
        return EntryLine((str(rule.pattern), " ".join(said), last_cell(when=rule.when)), rule.override)
    style = format_call(rule.style, [f"{p.name}: {p.size}" if p.name else str(p.size) for p in rule.parts])
    sides = [str(side) if side else "" for side in (rule.input, rule.output)]
    flow = " -> ".join(sides).strip() if any(sides) else ""
    action = style or rule.style
    return EntryLine((str(rule.pattern), action, last_cell(flow, *said, when=rule.when)), rule.override)


CODEC = BlockCodec(GRAMMAR, decode_tensor, encode_tensor, tensor_from_records)
