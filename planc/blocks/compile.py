"""`compile { ... }`: `torch.compile`, one matched module at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planc.blocks.lines import Line, only, read_entries, rest, write_removes
from planc.blocks.settings import Known, Setting, fault_of_blanks, read_settings, write_settings
from planc.ir.expr import Expr
from planc.ir.node import Node, group, values
from planc.ir.pattern import Pattern
from planc.ir.record import Record

if TYPE_CHECKING:
    from planc.text.reader import Reader


SETTINGS: Known = {
    "mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "backend": None,  # what compiles; which there are, only the torch at hand knows
    "dynamic": (True, False),  # whether sizes may change without compiling anew; by itself torch decides
    "fullgraph": (True, False),  # whether a module that is not one graph is an error
}
"""Settings of a block: arguments of `torch.compile`, and the values that each takes."""


class Compile(Record):
    """Modules that are compiled, each by itself."""

    pattern: Pattern
    when: Expr | None = None
    """Where this is false, the line is not there."""
    override: bool = False
    """Take the place of an earlier line for the modules that both name."""


class CompileBlock(Record):
    """`torch.compile`."""

    settings: tuple[Setting, ...] = ()
    targets: tuple[Compile, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Targets of the extended plan to drop, by their pattern."""
    kind: Literal["compile"] = "compile"


def read(branch: Any, reader: Reader) -> Node[CompileBlock]:
    entries = read_entries(branch, reader, {"region": _target, "settings": read_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    targets, remove = entries["region"], entries["remove"]
    parts = {"settings": group(settings), "targets": group(targets), "remove": group(remove)}
    return Node(CompileBlock(values(settings), values(targets), values(remove)), branch, parts)


def _target(branch: Any, reader: Reader, override: bool) -> Node[Compile] | None:
    pattern = reader.pattern(branch.children[0])
    when = reader.when(branch.children[-1])
    for extra in branch.children[1:-1]:
        reader.fault("R304", extra, "a line of 'compile' takes a pattern alone")
    if pattern is None:
        return None
    fault_of_blanks(pattern, SETTINGS, reader)
    parts: dict[str, Node[Any]] = {"pattern": pattern} | ({"when": when} if when else {})
    return Node(Compile(pattern.value, when.value if when else None, override), branch, parts)


def holding(records: Sequence[Record]) -> CompileBlock:
    return CompileBlock(only(records, Setting), only(records, Compile), only(records, Pattern))


def write(block: CompileBlock) -> tuple[str, list[Line]]:
    lines = [*write_removes(block.remove), *write_settings(block.settings), *map(write_target, block.targets)]
    return "compile", lines


def write_target(target: Compile) -> Line:
    return Line((str(target.pattern), rest(when=target.when)), target.override)
