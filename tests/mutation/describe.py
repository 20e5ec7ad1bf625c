"""Lines of a plan in the words of a change."""

from __future__ import annotations

from typing import Any

from planc.ir.diagnostic import FieldPath
from planc.ir.plan import LayoutLet, Mesh, Option, PatternLet, Plan, Require
from planc.syntax import unparse
from planc.syntax.blocks import block_settings, fsdp_block, recompute_block, tensor_block
from planc.syntax.blocks import compile_block as compile_
from tests.mutation.record_edits import get_at

_ENTRIES: dict[type, Any] = {
    tensor_block.Rule: tensor_block.encode_rule,
    tensor_block.Loss: tensor_block.encode_loss,
    fsdp_block.Unit: fsdp_block.encode_unit,
    recompute_block.Recompute: recompute_block.encode_region,
    compile_.Compile: compile_.encode_target,
    block_settings.Setting: lambda setting: block_settings.encode_settings([setting])[0],
}
_STATEMENTS: dict[type, Any] = {
    Mesh: unparse.mesh_row,
    Option: unparse.option_row,
    PatternLet: unparse.let_row,
    LayoutLet: unparse.let_row,
    Require: unparse.require_row,
}


def entry_text(record: Any) -> str:
    """An entry or a statement as the plan writes it, without columns."""
    return " ".join(cell for cell in _cells(record) if cell)


def _cells(record: Any) -> tuple[str, ...]:
    if type(record) not in _ENTRIES:
        cells = _STATEMENTS[type(record)](record).cells
    else:
        entry = _ENTRIES[type(record)](record)
        head, *tail = entry.cells
        cells = (f"{'override ' if entry.override else ''}{head}", *tail)
    return tuple(" ".join(cell.split()) for cell in cells)


def entry_path(path: FieldPath) -> FieldPath:
    """The path of the entry or the statement that a path leads into."""
    if path[0] != "blocks":
        return path[: 1 if path[0] == "mesh" else 2]
    return path[: 3 if path[2] == "loss" else 4]


def describe_change(old: Plan, new: Plan, path: FieldPath) -> str:
    """What a change inside of one entry says; the pattern or the name that stays is said once."""
    before, after = get_at(old, entry_path(path)), get_at(new, entry_path(path))
    stays = len(_cells(after)) > 1 and _cells(before)[0] == _cells(after)[0]
    rest = " ".join(cell for cell in _cells(after)[1:] if cell) if stays else entry_text(after)
    return f"{entry_text(before)} => {rest or 'nothing'}"
