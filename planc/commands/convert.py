"""`planc convert PLAN --to FORM`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.cli import usage_error
from planc.compile import check
from planc.ir.plan import Plan
from planc.read import Unreadable, read_path
from planc.report.text import complain

FORMS = ("text", "json", "yaml", "python")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form to print")


def run(arguments: Namespace) -> int:
    try:
        document = read_path(arguments.plan)
    except Unreadable as bad:
        return usage_error(str(bad))
    if document.faults:
        return complain(document.faults)
    text = _written(document.plan, arguments.to)
    if text is None:
        # Data can hold faults that text cannot: they are what stands in the way.
        return complain(check(document).diagnostics)
    sys.stdout.write(text)
    return 0


def _written(plan: Plan, form: str) -> str | None:
    if form == "text":
        from planc.text.write import write_faithfully

        return write_faithfully(plan)
    from planc.data import write as data

    return {"json": data.to_json, "yaml": data.to_yaml, "python": data.to_python}[form](plan)
