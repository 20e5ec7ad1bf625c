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


def decode_tensor(tree: Any, reader: TreeReader) -> Spanned[TensorBlock]:
    """The block in a syntax tree, with the spans of its parts."""
    axis = reader.name(tree.children[0])
    entries = decode_entries(tree, reader, {"rule": _rule, "loss": _loss, "settings": decode_settings})
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
    fields = {
        "axis": axis,
        "rules": spanned_items(rules),
        "remove": spanned_items(remove),
        "settings": spanned_items(settings),
    }
    return Spanned(block, tree, fields | ({"loss": loss} if loss else {}))


def _loss(tree: Any, reader: TreeReader, override: bool) -> Spanned[Loss]:
    style = reader.name(tree.children[0])
    when = reader.when(tree.children[1])
    fields = {"style": style} | ({"when": when} if when else {})
    return Spanned(Loss(style.value, when.value if when else None, override), tree, fields)


def _rule(tree: Any, reader: TreeReader, override: bool) -> Spanned[Rule] | None:
    return _RuleDecoder(tree, reader).decode(override)


class _RuleDecoder:
    """Decodes `PATTERN style INPUT -> OUTPUT clauses when CONDITION`."""

    def __init__(self, tree: Any, reader: TreeReader) -> None:
        self.tree, self.reader = tree, reader
        self.fields: dict[str, Any] = {}
        """The fields read so far; None: one that cannot be read, which is reported."""
        pattern, *middle, when = tree.children
        self.has_arrow = any(not hasattr(child, "children") for child in middle)
        before: list[CallSyntax] = []
        after: list[CallSyntax] = []
        calls = before
        for child in middle:
            if hasattr(child, "children"):
                calls.append(reader.call(child))
            else:
                calls = after
        self.clauses = [call for call in (*before, *after) if str(call.name) in RULE_CLAUSES]
        self.words = [call for call in before if str(call.name) not in RULE_CLAUSES]
        """The style and the layout of its input."""
        self.outputs = [call for call in after if str(call.name) not in RULE_CLAUSES]
        self.fields["pattern"] = reader.pattern(pattern)
        if when.children:
            self.fields["when"] = reader.when(when)

    def decode(self, override: bool) -> Spanned[Rule] | None:
        """The rule; None: a part of it cannot be read."""
        if self.words:
            self._decode_style()
        elif self.has_arrow:
            self.reader.report("R304", self.tree, "'->' is only allowed after a style", "",
                               "help: at a module without a style, write inputs(0: ... -> ...)")  # fmt: skip
            self.fields["output"] = None
        self._decode_output()
        for call in self.clauses:
            self._decode_clause(call)
        if None in self.fields.values():
            return None
        values: dict[str, Any] = {
            name: field.value if field.tree is not None else spanned_values(field.fields.values())
            for name, field in self.fields.items()
        }
        return Spanned(Rule(**values, override=override), self.tree, self.fields)

    def _decode_style(self) -> None:
        style, reader = self.words[0], self.reader
        self.fields["style"] = reader.name(style.name)
        if style.arguments == []:
            reader.report("R304", style.tree, f"the brackets of '{style.name}' are empty")
            self.fields["style"] = None
            return
        if style.arguments and str(style.name) not in STYLES and _resembles_clause(style):
            label = Label(reader.source, self.fields["style"].span, "no such style")
            reader.report("N101", style.name, f"there is no style '{style.name}'", label.text,
                          f"needed: {join_names(STYLES)}, or {join_names(RULE_CLAUSES)}",
                          fix=replacement_fix(label, closest_match(str(style.name), RULE_CLAUSES)))  # fmt: skip
            self.fields["style"] = None
            return
        if style.arguments is not None:
            parts = [_part(argument, reader) for argument in style.arguments]
            valid = [part for part in parts if part is not None]
            self.fields["parts"] = spanned_items(valid) if len(valid) == len(parts) else None
        if len(self.words) > 1 and self.has_arrow:
            self.fields["input"] = reader.call_layout(self.words[1])

    def _decode_output(self) -> None:
        words, outputs, reader = self.words, self.outputs, self.reader
        if self.has_arrow and len(words) == 1 and not outputs:
            reader.report("R304", self.tree, "'->' needs a layout on at least one side", "",
                          "needed: IN -> OUT, or one of them")  # fmt: skip
        if outputs and words:
            self.fields["output"] = reader.call_layout(outputs[0])
        for call in (*words[2:], *words[1:2] * (not self.has_arrow), *outputs[1:]):
            reader.report("R304", call.tree, f"'{call.name}' is not allowed here", "",
                          "needed: one style, and layouts on both sides of '->'")  # fmt: skip
            self.fields["style"] = None

    def _decode_clause(self, call: CallSyntax) -> None:
        name, reader = str(call.name), self.reader
        if name in self.fields:
            reader.report("R304", call.tree, f"'{name}' is given twice in one rule")
            self.fields["style"] = None
            return
        needed, decode = RULE_CLAUSES[name]
        items = []
        for argument in call.arguments or ():
            item = decode(argument, reader)
            if item is _MALFORMED:
                reader.report(
                    "R304", argument.tree, f"'{name}' does not take this argument", "", f"needed: {needed}"
                )
            items.append(item)
        if not items:
            reader.report("R304", call.tree, f"'{name}' needs arguments", "", f"needed: {needed}")
        is_valid = items and None not in items and _MALFORMED not in items
        self.fields[name] = spanned_items(items) if is_valid else None


def _resembles_clause(style: CallSyntax) -> bool:
    """Whether a word that is not a style has the arguments of a clause, or nearly its name."""
    if any(argument.after is not None for argument in style.arguments or ()):
        return True
    return closest_match(str(style.name), RULE_CLAUSES) is not None


_MALFORMED: Spanned[Any] = Spanned(None, None)
"""An argument that a clause does not take."""


def _part(argument: CallArgument, reader: TreeReader) -> Spanned[Part] | None:
    if argument.after is not None or (argument.key is not None and argument.key.type != "NAME"):
        reader.report("R304", argument.tree, "a style takes no layouts in its brackets", "",
                     "help: write layouts after it, as in 'colwise stream -> shard(-1)'")  # fmt: skip
        return None
    size = reader.expr(argument.value)
    if size is None:
        return None
    name = None if argument.key is None else str(argument.key)
    return Spanned(Part(size.value, name), argument.tree, {"size": size})


def _port(argument: CallArgument, reader: TreeReader) -> Spanned[Port] | None:
    if argument.key is None or argument.after is None:
        return _MALFORMED
    if argument.key.type == "DOTTED":
        return _MALFORMED
    key = reader.integer(argument.key) if argument.key.type == "INT" else str(argument.key)
    before, after = reader.layout(argument.value), reader.layout(argument.after)
    if key is None or before is None or after is None:
        return None
    fields = {"before": before, "after": after}
    return Spanned(Port(key, before.value, after.value), argument.tree, fields)


def _param(argument: CallArgument, reader: TreeReader) -> Spanned[ParamLayout] | None:
    if argument.key is None or argument.key.type not in ("NAME", "INT") or argument.after is not None:
        return _MALFORMED
    layout = reader.layout(argument.value)
    if layout is None:
        return None
    return Spanned(ParamLayout(str(argument.key), layout.value), argument.tree, {"layout": layout})


def _attribute(argument: CallArgument, reader: TreeReader) -> Spanned[Attribute] | None:
    if argument.key is None or argument.key.type not in ("NAME", "DOTTED") or argument.after is not None:
        return _MALFORMED
    value = reader.expr(argument.value)
    if value is None:
        return None
    return Spanned(Attribute(str(argument.key), value.value), argument.tree, {"value": value})


RULE_CLAUSES: dict[str, tuple[str, Any]] = {
    "inputs": ("POSITION or KEYWORD: LAYOUT -> LAYOUT", _port),
    "outputs": ("POSITION or KEYWORD: LAYOUT -> LAYOUT", _port),
    "params": ("NAME: LAYOUT", _param),
    "buffers": ("NAME: LAYOUT", _param),
    "attributes": ("NAME: EXPRESSION", _attribute),
}
"""The clauses of a rule: what each takes, as messages say it, and how one argument is decoded."""


def tensor_from_records(records: Sequence[Record]) -> TensorBlock:
    """A block that holds some records, each in its field."""
    loss = next((r for r in records if isinstance(r, Loss)), None)
    return TensorBlock(
        "", records_of(records, Rule), loss, records_of(records, Pattern), records_of(records, Setting)
    )


# ---- records to text ---------------------------------------------------------


def encode_tensor(block: TensorBlock) -> tuple[str, list[EntryLine]]:
    """The first line of the block, and the lines of its entries."""
    lines = [
        *encode_removes(block.remove), *encode_settings(block.settings), *map(encode_rule, block.rules),
    ]  # fmt: skip
    if block.loss:
        lines.append(encode_loss(block.loss))
    return f"tensor {block.axis}", lines


def encode_loss(loss: Loss) -> EntryLine:
    """The line of a loss."""
    return EntryLine(("loss", loss.style, last_cell(when=loss.when)), loss.override)


def encode_rule(rule: Rule) -> EntryLine:
    """The line of a rule."""
    clauses = [
        format_call("inputs", [f"{p.key}: {p.before} -> {p.after}" for p in rule.inputs]),
        format_call("outputs", [f"{p.key}: {p.before} -> {p.after}" for p in rule.outputs]),
        format_call("params", [f"{p.name}: {p.layout}" for p in rule.params]),
        format_call("buffers", [f"{b.name}: {b.layout}" for b in rule.buffers]),
        format_call("attributes", [f"{a.name}: {a.value}" for a in rule.attributes]),
    ]
    written = [clause for clause in clauses if clause]
    if rule.style is None:
        return EntryLine((str(rule.pattern), " ".join(written), last_cell(when=rule.when)), rule.override)
    style = format_call(rule.style, [f"{p.name}: {p.size}" if p.name else str(p.size) for p in rule.parts])
    sides = [str(side) if side else "" for side in (rule.input, rule.output)]
    flow = " -> ".join(sides).strip() if any(sides) else ""
    action = style or rule.style
    return EntryLine((str(rule.pattern), action, last_cell(flow, *written, when=rule.when)), rule.override)


CODEC = BlockCodec(GRAMMAR, decode_tensor, encode_tensor, tensor_from_records)
