"""Text to document."""

from __future__ import annotations

import re

from planc.ir.diagnostic import Diagnostic, Label, diagnostic
from planc.ir.document import Document
from planc.ir.source import Source
from planc.ir.text_fixes import replacement_fix
from planc.syntax.parser import parse_tree
from planc.syntax.statements import decode_plan
from planc.syntax.tree_reader import TreeReader

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_text(source: Source) -> Document:
    """The plan that a text says, and every line of it that says none."""
    reader = TreeReader(source)
    faults: list[Diagnostic] = []
    broken: list[int] = []

    def report(code: str, start: int, end: int, message: str, details: dict[str, str]) -> None:
        notes = tuple(f"{what}: {details[what]}" for what in ("needed", "help") if what in details)
        label = Label(source, source.span(start, end))
        fix = replacement_fix(label, details.get("meant"))
        faults.append(diagnostic(code, label, message, *notes, fix=fix))
        broken.append(start)

    tree = parse_tree(source.text, report)
    node = decode_plan(tree, reader)
    lines = {source.position(start).line for start in broken}
    lines |= {source.position(f.label.span.start).line for f in reader.diagnostics}
    lost = frozenset(word for line in lines for word in _WORD.findall(source.line(line)))
    return Document(source, node.value, node.span_at, (*faults, *reader.diagnostics), lost)
