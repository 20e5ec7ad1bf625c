"""`Plan` to canonical text."""

from __future__ import annotations

import re
from typing import Any

from planc.blocks import KINDS
from planc.blocks.lines import Line
from planc.ir.expr import show
from planc.ir.plan import LayoutLet, Mesh, Option, Plan, Require
from planc.ir.source import Source
from planc.text.rows import BLANK, Row, render

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def write(plan: Plan) -> str:
    """The text of a plan; reading it gives the plan again."""
    parts = [_heads(plan)]
    parts.append([option_row(option) for option in plan.options])
    parts.append([let_row(let) for let in plan.lets])
    parts.append([require_row(require) for require in plan.requires])
    parts += [block_rows(block) for block in plan.blocks]
    rows: list[Row] = []
    for part in parts:
        if part:
            rows += [BLANK, *part] if rows else part
    return render(rows)


def write_faithfully(plan: Plan) -> str | None:
    """The text of a plan, or None where reading it would not give the plan again: data can
    hold faulty plans that have no text, such as layouts without a style."""
    from planc.text.read import read_text

    text = write(plan)
    document = read_text(Source("", text))
    return text if not document.faults and document.plan == plan else None


def _heads(plan: Plan) -> list[Row]:
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


def name_row(name: str) -> Row:
    return Row("statement", (f"plan {name}",))


def extends_row(reference: str) -> Row:
    return Row("statement", (f"extends {reference if _NAME.fullmatch(reference) else quoted(reference)}",))


def model_row(reference: str) -> Row:
    return Row("statement", (f"model {quoted(reference)}",))


def mesh_row(mesh: Mesh) -> Row:
    axes = [a.name if a.size is None else f"{a.name}={a.size}" for a in mesh.axes]
    return Row("statement", (f"{_override(mesh)}mesh {', '.join(axes)}",))


def option_row(option: Option) -> Row:
    return Row("statement", (f"{_override(option)}option {option.name}", f"= {show(option.value)}"))


def let_row(let: Any) -> Row:
    if isinstance(let, LayoutLet):
        value = str(let.layout)
        if let.when is not None:
            value = f"{value} when {let.when} else {let.otherwise}"
    else:
        value = str(let.pattern)
    return Row("statement", (f"{_override(let)}let {let.name}", f"= {value}"))


def require_row(require: Require) -> Row:
    why = (quoted(require.why),) if require.why is not None else ()
    return Row("statement", (f"require {require.condition}", *why))


def block_rows(block: Any) -> list[Row]:
    header, lines = KINDS[block.kind].write(block)
    entries = [entry_row(line) for line in lines]
    return framed(block.kind, header, entries)


def framed(kind: str, header: str, entries: list[Row], opening: str = "", closing: str = "") -> list[Row]:
    """A block around its entries; comments of its first and last line are kept."""
    if not entries and not opening:
        return [Row("open", (f"{header} {{}}",), closing)]
    only = entries[0] if len(entries) == 1 else None
    if only and KINDS[kind].inline and only.kind == "entry" and not (opening or only.comment):
        return [Row("open", (f"{header} {{ {'  '.join(c for c in only.cells if c)} }}",), closing)]
    return [Row("open", (f"{header} {{",), opening), *entries, Row("close", ("}",), closing)]


def entry_row(line: Line) -> Row:
    head, *tail = line.cells
    return Row("entry", (f"{'override ' if line.override else ''}{head}", *tail), inside=True)


def quoted(text: str) -> str:
    """A text in quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _override(record: Any) -> str:
    return "override " if record.override else ""
