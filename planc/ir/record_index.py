"""Everything that plans say, by the type of record: walked once, looked up by all checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from planc.ir.diagnostic import FieldPath
from planc.ir.document import Document
from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.pattern import Pattern
from planc.ir.record import Record

IndexedRecord = tuple[Any, Document, FieldPath]


def index_records(documents: Iterable[Document]) -> Mapping[type, list[IndexedRecord]]:
    """Every record of every plan, at any depth, with its document and its path.

    Patterns, layouts and expressions are leaves; all layouts are also listed under
    `Layout`, all expressions under `Expr`.
    """
    found: dict[type, list[IndexedRecord]] = {}
    for document in documents:
        _walk(document.plan, (), document, found)
    return found


def _walk(
    record: Record, path: FieldPath, document: Document, found: dict[type, list[IndexedRecord]]
) -> None:
    kind = type(record)
    if isinstance(record, Layout):
        found.setdefault(Layout, []).append((record, document, path))
    elif isinstance(record, Expr):
        found.setdefault(Expr, []).append((record, document, path))
        return
    found.setdefault(kind, []).append((record, document, path))
    if kind is Pattern or isinstance(record, Layout):
        return
    for field, value in record.__dict__.items():
        if value is None or value is False or value == () or isinstance(value, str):
            continue
        if isinstance(value, Record):
            _walk(value, (*path, field), document, found)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if isinstance(item, Record):
                    _walk(item, (*path, field, i), document, found)
