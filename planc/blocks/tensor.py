"""`tensor AXIS { ... }`: tensor parallelism, a rule a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planc.blocks.lines import Line, call, only, read_entries, rest, write_removes
from planc.blocks.settings import Known, Setting, read_settings, write_settings
from planc.ir.diagnostic import Label, replace
from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.node import Node, group, values
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import Count, Dotted, TextLine, Word
from planc.near import listed, nearest
from planc.styles import STYLES

if TYPE_CHECKING:
    from planc.text.reader import Call, Item, Reader


SETTINGS: Known = {
    "overlap": (True, False),  # whether products run beside the gathers of what they take
}
"""Settings of a block, and the values that each takes."""


class Part(Record):
    """One part of a fused projection."""

    size: Expr
    """Its share of the fused dim, in proportion to the other parts."""
    name: Word | None = None


class Port(Record):
    """A change of layout of one argument or result of a module."""

    key: Word | Count
    """A position, counted from 0, or a keyword."""
    before: Layout
    after: Layout


class ParamLayout(Record):
    """The layout of one parameter of a module."""

    name: Word
    layout: Layout


class Attribute(Record):
    """An attribute that each rank's module gets, as its share of the heads."""

    name: Dotted
    """As the module's code reads it: `num_heads`, or `config.num_heads`."""
    value: Expr


class Rule(Record):
    """How the modules that a pattern names are split on the axis of the block."""

    pattern: Pattern
    style: TextLine | None = None
    """A row of the table of styles: colwise, rowwise, sequence, ..."""
    parts: tuple[Part, ...] = ()
    """What the style takes in brackets."""
    input: Layout | None = None
    """What arrives from outside, where it is not what the style takes."""
    output: Layout | None = None
    """What leaves, where it is not what the style gives."""
    inputs: tuple[Port, ...] = ()
    """Changes of layout at the module's arguments."""
    outputs: tuple[Port, ...] = ()
    """Changes of layout at the module's results."""
    params: tuple[ParamLayout, ...] = ()
    """Layouts of single parameters, such as fused experts."""
    attributes: tuple[Attribute, ...] = ()
    """What the module's code needs to know of its own share."""
    when: Expr | None = None
    """Where this is false, the rule is not there."""
    override: bool = False
    """Take the place of earlier rules for the modules that both name."""


class Loss(Record):
    """How the loss is computed on an axis."""

    style: TextLine
    """A row of the table of losses: vocab_parallel, or whole."""
    when: Expr | None = None
    override: bool = False


class TensorBlock(Record):
    """Tensor parallelism on one axis."""

    axis: Word
    rules: tuple[Rule, ...] = ()
    loss: Loss | None = None
    remove: tuple[Pattern, ...] = ()
    """Rules of the extended plan to drop, by their pattern."""
    settings: tuple[Setting, ...] = ()
    kind: Literal["tensor"] = "tensor"


# ---- text to records ---------------------------------------------------------


def read(branch: Any, reader: Reader) -> Node[TensorBlock]:
    axis = reader.name(branch.children[0])
    entries = read_entries(branch, reader, {"rule": _rule, "loss": _loss, "settings": read_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    losses = entries["loss"]
    for extra in losses[1:]:
        reader.fault("N106", extra.branch, "the loss of this axis is declared twice")
    rules, remove = entries["rule"], entries["remove"]
    loss = losses[0] if losses else None
    block = TensorBlock(
        axis.value, values(rules), loss.value if loss else None, values(remove), values(settings)
    )
    parts = {
        "axis": axis, "rules": group(rules), "remove": group(remove), "settings": group(settings),
    }  # fmt: skip
    return Node(block, branch, parts | ({"loss": loss} if loss else {}))


def _loss(branch: Any, reader: Reader, override: bool) -> Node[Loss]:
    style = reader.name(branch.children[0])
    when = reader.when(branch.children[1])
    parts = {"style": style} | ({"when": when} if when else {})
    return Node(Loss(style.value, when.value if when else None, override), branch, parts)


def _rule(branch: Any, reader: Reader, override: bool) -> Node[Rule] | None:
    children = branch.children
    before: list[Call] = []
    after: list[Call] = []
    arrow = False
    for child in children[1:-1]:
        if not hasattr(child, "children"):
            arrow = True
        else:
            (after if arrow else before).append(reader.call(child))
    parts: dict[str, Any] = {"pattern": reader.pattern(children[0])}
    if children[-1].children:
        parts["when"] = reader.when(children[-1])
    words = [c for c in before if str(c.name) not in FACETS]
    if words:
        _style(words, arrow, reader, parts)
    elif arrow:
        reader.fault("R304", branch, "'->' stands after a style", "",
                     "help: at a module without a style, write inputs(0: ... -> ...)")  # fmt: skip
        parts["output"] = None
    outs = [c for c in after if str(c.name) not in FACETS]
    if arrow and words and len(words) < 2 and not outs:
        reader.fault("R304", branch, "'->' stands between layouts", "", "needed: IN -> OUT, or one of them")
    if outs and words:
        parts["output"] = reader.layout_of(outs[0])
    for call_ in (*words[2:], *words[1:2] * (not arrow), *outs[1:]):
        reader.fault("R304", call_.branch, f"'{call_.name}' cannot stand here",
                     "", "needed: one style, and layouts on both sides of '->'")  # fmt: skip
        parts["style"] = None
    for call_ in (*before, *after):
        if facet := FACETS.get(str(call_.name)):
            _facet(call_, facet, reader, parts)
    if None in parts.values():
        return None  # said above, where it was read
    fields: dict[str, Any] = {
        k: n.value if n.branch is not None else values(n.parts.values()) for k, n in parts.items()
    }
    return Node(Rule(**fields, override=override), branch, parts)


def _style(words: list[Call], arrow: bool, reader: Reader, parts: dict[str, Any]) -> None:
    style = words[0]
    parts["style"] = reader.name(style.name)
    if style.items == []:
        reader.fault("R304", style.branch, f"nothing stands in the brackets of '{style.name}'")
        parts["style"] = None
        return
    if style.items and str(style.name) not in STYLES and _is_facet(style):
        label = Label(reader.source, parts["style"].span, "no such style")
        reader.fault("N101", style.name, f"there is no style '{style.name}'", label.text,
                     f"needed: {listed(STYLES)}, or {listed(FACETS)}",
                     fix=replace(label, nearest(str(style.name), FACETS)))  # fmt: skip
        parts["style"] = None
        return
    if style.items is not None:
        read_parts = [_part(item, reader) for item in style.items]
        known = [part for part in read_parts if part is not None]
        parts["parts"] = group(known) if len(known) == len(read_parts) else None
    if len(words) > 1 and arrow:
        parts["input"] = reader.layout_of(words[1])


def _is_facet(style: Call) -> bool:
    """Whether a word that is no style has the arguments, or nearly the name, of a facet."""
    if any(item.after is not None for item in style.items or ()):
        return True
    return nearest(str(style.name), FACETS) is not None


def _facet(call_: Call, facet: Any, reader: Reader, parts: dict[str, Any]) -> None:
    name = str(call_.name)
    if name in parts:
        reader.fault("R304", call_.branch, f"'{name}' is said twice in one rule")
        parts["style"] = None
        return
    needed, item = facet
    nodes = []
    for each in call_.items or ():
        node = item(each, reader)
        if node is _MALFORMED:
            reader.fault("R304", each.branch, f"'{name}' takes no such argument", "", f"needed: {needed}")
        nodes.append(node)
    if not nodes:
        reader.fault("R304", call_.branch, f"'{name}' needs arguments", "", f"needed: {needed}")
    parts[name] = None if not nodes or None in nodes or _MALFORMED in nodes else group(nodes)


_MALFORMED: Node[Any] = Node(None, None)


def _part(item: Item, reader: Reader) -> Node[Part] | None:
    if item.after is not None or (item.key is not None and item.key.type != "NAME"):
        reader.fault("R304", item.branch, "a style takes no layouts in its brackets", "",
                     "help: layouts stand after it, as in 'colwise stream -> shard(-1)'")  # fmt: skip
        return None
    size = reader.expr(item.value)
    if size is None:
        return None
    name = None if item.key is None else str(item.key)
    return Node(Part(size.value, name), item.branch, {"size": size})


def _port(item: Item, reader: Reader) -> Node[Port] | None:
    if item.key is None or item.after is None:
        return _MALFORMED
    if item.key.type == "DOTTED":
        return _MALFORMED
    key = reader.integer(item.key) if item.key.type == "INT" else str(item.key)
    before, after = reader.layout(item.value), reader.layout(item.after)
    if key is None or before is None or after is None:
        return None
    parts = {"before": before, "after": after}
    return Node(Port(key, before.value, after.value), item.branch, parts)


def _param(item: Item, reader: Reader) -> Node[ParamLayout] | None:
    if item.key is None or item.key.type != "NAME" or item.after is not None:
        return _MALFORMED
    layout = reader.layout(item.value)
    if layout is None:
        return None
    return Node(ParamLayout(str(item.key), layout.value), item.branch, {"layout": layout})


def _attribute(item: Item, reader: Reader) -> Node[Attribute] | None:
    if item.key is None or item.key.type not in ("NAME", "DOTTED") or item.after is not None:
        return _MALFORMED
    value = reader.expr(item.value)
    if value is None:
        return None
    return Node(Attribute(str(item.key), value.value), item.branch, {"value": value})


FACETS: dict[str, tuple[str, Any]] = {
    "inputs": ("POSITION or KEYWORD: LAYOUT -> LAYOUT", _port),
    "outputs": ("POSITION or KEYWORD: LAYOUT -> LAYOUT", _port),
    "params": ("NAME: LAYOUT", _param),
    "attributes": ("NAME: EXPRESSION", _attribute),
}
"""What a rule may say beside its style: what it takes, and how an argument is read."""


def holding(records: Sequence[Record]) -> TensorBlock:
    loss = next((r for r in records if isinstance(r, Loss)), None)
    return TensorBlock("", only(records, Rule), loss, only(records, Pattern), only(records, Setting))


# ---- records to text ---------------------------------------------------------


def write(block: TensorBlock) -> tuple[str, list[Line]]:
    lines = [
        *write_removes(block.remove), *write_settings(block.settings), *map(write_rule, block.rules),
    ]  # fmt: skip
    if block.loss:
        lines.append(write_loss(block.loss))
    return f"tensor {block.axis}", lines


def write_loss(loss: Loss) -> Line:
    return Line(("loss", loss.style, rest(when=loss.when)), loss.override)


def write_rule(rule: Rule) -> Line:
    facets = [
        call("inputs", [f"{p.key}: {p.before} -> {p.after}" for p in rule.inputs]),
        call("outputs", [f"{p.key}: {p.before} -> {p.after}" for p in rule.outputs]),
        call("params", [f"{p.name}: {p.layout}" for p in rule.params]),
        call("attributes", [f"{a.name}: {a.value}" for a in rule.attributes]),
    ]
    said = [facet for facet in facets if facet]
    if rule.style is None:
        return Line((str(rule.pattern), " ".join(said), rest(when=rule.when)), rule.override)
    style = call(rule.style, [f"{p.name}: {p.size}" if p.name else str(p.size) for p in rule.parts])
    sides = [str(side) if side else "" for side in (rule.input, rule.output)]
    flow = " -> ".join(sides).strip() if any(sides) else ""
    action = style or rule.style
    return Line((str(rule.pattern), action, rest(flow, *said, when=rule.when)), rule.override)
