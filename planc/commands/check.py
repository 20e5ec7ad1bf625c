"""`planc check PLAN...`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial

from planc.cli import UNPROVED, USAGE, usage_error
from planc.commands.model import add_model, graph_for
from planc.commands.settings import UsageFault, add_settings, settings
from planc.compile import Result, check
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.settled import Settings
from planc.read import Unreadable, read_path
from planc.report import FORMATS
from planc.report.text import complain
from planc.settle.options import options_fault


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plans", nargs="+", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input"
    )
    add_settings(parser)
    add_model(parser)
    parser.add_argument("--fix", action="store_true", help="write the fixes that were tried into the plans")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to report (default: text)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of plans without a fault")


def run(arguments: Namespace) -> int:
    try:
        given = settings(arguments)
    except UsageFault as bad:
        return usage_error(str(bad))
    if arguments.plans.count("-") > 1:
        return usage_error("standard input is read once")
    if arguments.fix and "-" in arguments.plans:
        return usage_error("--fix writes files: standard input is none")
    documents: list[Document] = []
    unreadable = False
    for path in arguments.plans:
        try:
            documents.append(read_path(path))
        except Unreadable as bad:
            unreadable = True
            usage_error(str(bad))
    results, bad_models = _checked(documents, given, arguments)
    if results and (fault := options_fault([r.settled.documents for r in results], given.options)):
        return usage_error(fault)
    _print(results, arguments)
    if unreadable or bad_models or any(_is_of_another(result) for result in results):
        return USAGE
    if any(r.is_refuted for r in results):
        return 1
    return UNPROVED if any(r.verdict == "unproved" for r in results) else 0


def _checked(documents: list[Document], given: Settings, arguments: Namespace) -> tuple[list[Result], bool]:
    """The results, and whether a model could not be had, or a file not be written."""
    results, bad = [], False
    for document in documents:
        try:
            graph = graph_for(document, arguments)
        except ModelFault as fault:
            complain([fault.diagnostic])
            bad = True
            continue
        result = check(document, given, graph)
        if arguments.fix:
            try:
                result = _fixed(result, partial(check, settings=given, graph=graph), arguments.plans)
            except OSError as failed:
                usage_error(f"{document.source.name}: {(failed.strerror or str(failed)).lower()}")
                bad = True
        results.append(result)
    return results, bad


def _is_of_another(result: Result) -> bool:
    """Whether the model is none that the plan could be for."""
    return any(diagnostic.law.name == "other-model" for diagnostic in result.diagnostics)


def _fixed(result: Result, again: Callable[[Document], Result], named: list[str]) -> Result:
    """The result with all fixes written into the plan's file, which the user has named.

    Raises:
        OSError: the file cannot be written.
    """
    from planc.commands.files import replace_file
    from planc.commands.fixing import fixed

    mended = fixed(result, again)
    path = result.document.source.name
    if mended is result:
        return result
    if path not in named:  # a shipped plan, by its name
        print(f"{path}: shipped with planc, and left as it is", file=sys.stderr)
        return result
    replace_file(path, mended.document.source.text)
    print(f"{path}: fixed", file=sys.stderr)
    return mended


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
