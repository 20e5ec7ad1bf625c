"""`planc check PLAN...`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.cli import USAGE, usage_error
from planc.commands.settings import UsageFault, add_settings, settings
from planc.compile import Result, check
from planc.ir.document import Document
from planc.read import Unreadable, read_path
from planc.report import FORMATS
from planc.settle.options import options_fault


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plans", nargs="+", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input"
    )
    add_settings(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to report (default: text)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of plans without a fault")


def run(arguments: Namespace) -> int:
    try:
        given = settings(arguments)
    except UsageFault as bad:
        return usage_error(str(bad))
    if arguments.plans.count("-") > 1:
        return usage_error("standard input is read once")
    documents: list[Document] = []
    unreadable = False
    for path in arguments.plans:
        try:
            documents.append(read_path(path))
        except Unreadable as bad:
            unreadable = True
            usage_error(str(bad))
    results = [check(document, given) for document in documents]
    if results and (fault := options_fault([r.settled.documents for r in results], given.options)):
        return usage_error(fault)
    _print(results, arguments)
    if unreadable:
        return USAGE
    return 1 if any(r.is_refuted for r in results) else 0


def _print(results: list[Result], arguments: Namespace) -> None:
    if arguments.format == "json":
        from planc.report.data import to_json

        text = to_json(results)
    elif arguments.format == "sarif":
        from planc.report.sarif import to_sarif

        text = to_sarif(results)
    elif arguments.format == "github":
        from planc.report.github import to_github

        text = to_github(results)
    else:
        from planc.report.summary import to_text

        text = to_text(results, quiet=arguments.quiet)
    sys.stdout.write(text)
