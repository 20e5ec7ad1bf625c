"""A plan to its canonical text."""

from __future__ import annotations

import re
from typing import Any

from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.expr import format_value
from planc.ir.plan import Accept, LayoutLet, Mesh, Option, Plan, Require
from planc.ir.source import Source
from planc.syntax.blocks.block_codec import codec_of
from planc.syntax.blocks.entries import EntryLine
from planc.syntax.printer import BLANK_ROW, TextRow, print_rows

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def unparse(plan: Plan) -> str:
    """The canonical text of a plan: reading it gives the same plan."""
    parts = [_header_rows(plan)]
    parts.append([option_row(option) for option in plan.options])
    parts.append([let_row(let) for let in plan.lets])
    parts.append([require_row(require) for require in plan.requires])
    parts.append([accept_row(accept) for accept in plan.accepts])
    parts += [block_rows(block) for block in plan.blocks]
    rows: list[TextRow] = []
    for part in parts:
        if part:
            rows += [BLANK_ROW, *part] if rows else part
    return print_rows(rows)


def unparse_round_trip(plan: Plan) -> str | None:
    """The canonical text of a plan, or None where reading it would not give the same plan: data can hold
    plans with errors that no text can have, such as layouts without a style."""
    from planc.syntax.read_text import read_text

    text = unparse(plan)
    document = read_text(Source("", text))
    return text if not document.diagnostics and document.plan == plan else None


def _header_rows(plan: Plan) -> list[TextRow]:
    rows = []
    if plan.name is not None:
        rows.append(name_row(plan.name))
    if plan.extends is not None:
        rows.append(extends_row(plan.extends))
    if plan.model is not None:
        rows.append(model_row(plan.model))
    if plan.mesh is not None:
        rows.append(mesh_row(plan.mesh))
    return rows


def name_row(name: str) -> TextRow:
    """`plan NAME`."""
    return TextRow("statement", (f"plan {name}",))


def extends_row(reference: str) -> TextRow:
    """`extends NAME` or `extends "FILE"`."""
    return TextRow("statement", (f"extends {reference if _NAME.fullmatch(reference) else quote(reference)}",))


def model_row(reference: str) -> TextRow:
    """`model "REFERENCE"`."""
    return TextRow("statement", (f"model {quote(reference)}",))


def mesh_row(mesh: Mesh) -> TextRow:
    """`mesh AXIS=SIZE, ...`."""
    axes = [a.name if a.size is None else f"{a.name}={a.size}" for a in mesh.axes]
    return TextRow("statement", (f"{_override(mesh)}mesh {', '.join(axes)}",))


def option_row(option: Option) -> TextRow:
    """`option NAME = VALUE`."""
    return TextRow(
        "statement", (f"{_override(option)}option {option.name}", f"= {format_value(option.value)}")
    )


def let_row(let: Any) -> TextRow:
    """`let NAME = ...`."""
    if isinstance(let, LayoutLet):
        value = str(let.layout)
        if let.when is not None:
            value = f"{value} when {let.when} else {let.otherwise}"
    else:
        value = str(let.pattern)
    return TextRow("statement", (f"{_override(let)}let {let.name}", f"= {value}"))


def require_row(require: Require) -> TextRow:
    """`require CONDITION "WHY"`."""
    why = (quote(require.why),) if require.why is not None else ()
    return TextRow("statement", (f"require {require.condition}", *why))


def accept_row(accept: Accept) -> TextRow:
    """`accept CODE at PATTERN "REASON"`."""
    return TextRow("statement", (f"accept {accept.code} at {accept.pattern}", quote(accept.reason)))


def block_rows(block: Any) -> list[TextRow]:
    """A block with its braces."""
    header, lines = codec_of(block.kind).encode(block)
    entries = [entry_row(line) for line in lines]
    return frame_block(block.kind, header, entries)


def frame_block(
    kind: str, header: str, entries: list[TextRow], opening: str = "", closing: str = ""
) -> list[TextRow]:
    """A block around its entries; comments of its first and last line are kept."""
    if not entries and not opening:
        return [TextRow("open", (f"{header} {{}}",), closing)]
    only = entries[0] if len(entries) == 1 else None
    if only and BLOCK_KINDS[kind].inline and only.kind == "entry" and not (opening or only.comment):
        return [TextRow("open", (f"{header} {{ {'  '.join(c for c in only.cells if c)} }}",), closing)]
    return [TextRow("open", (f"{header} {{",), opening), *entries, TextRow("close", ("}",), closing)]


def entry_row(line: EntryLine) -> TextRow:
    """A line of a block."""
    head, *tail = line.cells
    return TextRow("entry", (f"{'override ' if line.override else ''}{head}", *tail), in_block=True)


def quote(text: str) -> str:
    """A text in quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _override(record: Any) -> str:
    return "override " if record.override else ""
