"""Lines of a plan in the words of a change."""

from __future__ import annotations

from typing import Any

from planc.blocks import compile as compile_
from planc.blocks import fsdp, recompute, settings, tensor
from planc.ir.diagnostic import Path
from planc.ir.plan import LayoutLet, Mesh, Option, PatternLet, Plan, Require
from planc.mutate.edit import at
from planc.text import write

_ENTRIES: dict[type, Any] = {
    tensor.Rule: tensor.write_rule,
    tensor.Loss: tensor.write_loss,
    fsdp.Unit: fsdp.write_unit,
    recompute.Recompute: recompute.write_region,
    compile_.Compile: compile_.write_target,
    settings.Setting: lambda setting: settings.write_settings([setting])[0],
}
_STATEMENTS: dict[type, Any] = {
    Mesh: write.mesh_row,
    Option: write.option_row,
    PatternLet: write.let_row,
    LayoutLet: write.let_row,
    Require: write.require_row,
}


def line(record: Any) -> str:
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


def owner(path: Path) -> Path:
    """The path of the entry or the statement that a path leads into."""
    if path[0] != "blocks":
        return path[: 1 if path[0] == "mesh" else 2]
    return path[: 3 if path[2] == "loss" else 4]


def changed(old: Plan, new: Plan, path: Path) -> str:
    """What a change inside of one entry says; the pattern or the name that stays is said once."""
    before, after = at(old, owner(path)), at(new, owner(path))
    stays = len(_cells(after)) > 1 and _cells(before)[0] == _cells(after)[0]
    rest = " ".join(cell for cell in _cells(after)[1:] if cell) if stays else line(after)
    return f"{line(before)} => {rest or 'nothing'}"
