"""A text to a document."""

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
    """The plan in a text, and a diagnostic for every line that cannot be read."""
    reader = TreeReader(source)
    syntax_errors: list[Diagnostic] = []
    starts: list[int] = []

    def report(code: str, start: int, end: int, message: str, details: dict[str, str]) -> None:
        notes = tuple(f"{what}: {details[what]}" for what in ("needed", "help") if what in details)
        label = Label(source, source.span(start, end))
        fix = replacement_fix(label, details.get("meant"))
        syntax_errors.append(diagnostic(code, label, message, *notes, fix=fix))
        starts.append(start)

    tree = parse_tree(source.text, report)
    node = decode_plan(tree, reader)
    lines = {source.position(start).line for start in starts}
    lines |= {source.position(f.label.span.start).line for f in reader.diagnostics}
    unparsed_words = frozenset(word for line in lines for word in _WORD.findall(source.line(line)))
    return Document(source, node.value, node.span_at, (*syntax_errors, *reader.diagnostics), unparsed_words)
