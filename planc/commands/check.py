"""`planc check PLAN...`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial

from planc.check_result import Result
from planc.cli import EXIT_UNPROVED, EXIT_USAGE, print_usage_error
from planc.commands.model_flags import add_model_flags, graph_from_flags
from planc.commands.settings_flags import UsageError, add_settings_flags, settings_from_flags
from planc.compile import check_document, read
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.resolved import Settings
from planc.report import FORMATS
from planc.report.text import print_diagnostics
from planc.resolve.options import option_error
from planc.syntax.read_file import PlanFileError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plans", nargs="+", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input"
    )
    add_settings_flags(parser)
    add_model_flags(parser)
    parser.add_argument(
        "--fix", action="store_true", help="apply the fixes that planc has tried, and write the plans"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="the format of the report (default: text)"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="report nothing for plans without errors or warnings"
    )


def run(arguments: Namespace) -> int:
    try:
        given = settings_from_flags(arguments)
    except UsageError as error:
        return print_usage_error(str(error))
    if arguments.plans.count("-") > 1:
        return print_usage_error("standard input can only be read once")
    if arguments.fix and "-" in arguments.plans:
        return print_usage_error("--fix writes files, and standard input is not a file")
    documents: list[Document] = []
    unreadable = False
    for path in arguments.plans:
        try:
            documents.append(read(path))
        except PlanFileError as error:
            unreadable = True
            print_usage_error(str(error))
    results, bad_models = _check_all(documents, given, arguments)
    if results and (fault := option_error([r.resolved.documents for r in results], given.options)):
        return print_usage_error(fault)
    _print_report(results, arguments)
    if unreadable or bad_models or any(_is_other_model(result) for result in results):
        return EXIT_USAGE
    if any(r.is_refuted for r in results):
        return 1
    return EXIT_UNPROVED if any(r.verdict == "unproved" for r in results) else 0


def _check_all(documents: list[Document], given: Settings, arguments: Namespace) -> tuple[list[Result], bool]:
    """The results, and whether planc could not get a model or write a file."""
    results, has_failed = [], False
    for document in documents:
        try:
            graph = graph_from_flags(document, arguments)
        except ModelFault as fault:
            print_diagnostics([fault.diagnostic])
            has_failed = True
            continue
        result = check_document(document, given, graph)
        if arguments.fix:
            try:
                result = _write_fixes(
                    result, partial(check_document, settings=given, graph=graph), arguments.plans
                )
            except OSError as failed:
                print_usage_error(f"{document.source.name}: {(failed.strerror or str(failed)).lower()}")
                has_failed = True
        results.append(result)
    return results, has_failed


def _is_other_model(result: Result) -> bool:
    """Whether planc refused the model because the plan is for another one."""
    return any(diagnostic.law.name == "other-model" for diagnostic in result.diagnostics)


def _write_fixes(result: Result, recheck: Callable[[Document], Result], named_paths: list[str]) -> Result:
    """Apply all fixes of a plan, and write the plan if the user named its file. Returns the new result.

    Raises:
        OSError: the file cannot be written.
    """
    from planc.commands.apply_fixes import apply_fixes
    from planc.commands.atomic_write import write_atomically

    fixed = apply_fixes(result, recheck)
    path = result.document.source.name
    if fixed is result:
        return result
    if path not in named_paths:  # a shipped plan
        print(f"{path}: shipped with planc, so --fix does not change it", file=sys.stderr)
        return result
    write_atomically(path, fixed.document.source.text)
    print(f"{path}: fixed", file=sys.stderr)
    return fixed


def _print_report(results: list[Result], arguments: Namespace) -> None:
    if arguments.format == "json":
        from planc.report.json_report import results_to_json

        text = results_to_json(results)
    elif arguments.format == "sarif":
        from planc.report.sarif import to_sarif

        text = to_sarif(results)
    elif arguments.format == "github":
        from planc.report.github import to_github

        text = to_github(results)
    else:
        from planc.report.summary import render_results

        text = render_results(results, quiet=arguments.quiet)
    sys.stdout.write(text)
