"""`planc convert PLAN --to FORM`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.cli import print_usage_error
from planc.compile import check_document, read
from planc.ir.plan import Plan
from planc.report.text import print_diagnostics
from planc.syntax.read_file import PlanFileError

FORMS = ("text", "json", "yaml", "python")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input")
    parser.add_argument("--to", choices=FORMS, required=True, help="the format to print")


def run(arguments: Namespace) -> int:
    try:
        document = read(arguments.plan)
    except PlanFileError as error:
        return print_usage_error(str(error))
    if document.diagnostics:
        return print_diagnostics(document.diagnostics)
    text = _convert(document.plan, arguments.to)
    if text is None:
        # The plan has errors that its text could not express: report those.
        return print_diagnostics(check_document(document).diagnostics)
    sys.stdout.write(text)
    return 0


def _convert(plan: Plan, form: str) -> str | None:
    if form == "text":
        from planc.syntax.unparse import unparse_round_trip

        return unparse_round_trip(plan)
    from planc.syntax.data import serialize as data

    return {"json": data.plan_to_json, "yaml": data.plan_to_yaml, "python": data.plan_to_python}[form](plan)
