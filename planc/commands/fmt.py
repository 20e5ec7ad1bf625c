"""`planc fmt PLAN...`"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from planc.cli import print_usage_error
from planc.commands.atomic_write import write_atomically
from planc.ir.document import Document
from planc.regular_files import open_regular_file
from planc.report.text import print_diagnostics
from planc.syntax.read_file import PlanFileError, read_path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plans", nargs="+", metavar="PLAN", help="a .plan file; - formats standard input to standard output"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and exit with 1 if a file would change"
    )
    parser.add_argument("--diff", action="store_true", help="write nothing, and print what would change")


def run(arguments: Namespace) -> int:
    status = 0
    for path in arguments.plans:
        status = max(status, _format_file(path, arguments))
    return status


def _format_file(path: str, arguments: Namespace) -> int:
    if path != "-" and not os.path.exists(path):
        return print_usage_error(f"{path}: no such file or directory")
    try:
        document = read_path(path)
    except PlanFileError as error:
        return print_usage_error(str(error))
    if document.source.format != "text":
        return print_usage_error(f"{path}: planc formats .plan files only; see 'planc convert'")
    if document.diagnostics:
        return print_diagnostics(sorted(document.diagnostics, key=lambda fault: fault.label.span.start))
    from planc.syntax.formatter import format_document

    text = format_document(document)
    if path == "-" and not (arguments.check or arguments.diff):
        sys.stdout.write(text)
        return 0
    if text == _original_text(path, document):
        return 0
    if arguments.diff:
        _print_diff(document, text)
    if arguments.check and not arguments.diff:
        print(f"{document.source.name}: would be formatted", file=sys.stderr)
    if arguments.check or arguments.diff:
        return 1
    try:
        write_atomically(path, text)
    except OSError as error:
        return print_usage_error(f"{path}: {(error.strerror or str(error)).lower()}")
    print(f"{path}: formatted", file=sys.stderr)
    return 0


def _original_text(path: str, document: Document) -> str:
    """The text of the file with its byte order mark, which is a difference too."""
    if path == "-":
        return document.source.text
    with open_regular_file(path) as file:
        return file.read().decode("utf-8")


def _print_diff(document: Document, text: str) -> None:
    from difflib import unified_diff

    name = document.source.name
    old, new = document.source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    for line in unified_diff(old, new, name, name):
        sys.stdout.write(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
