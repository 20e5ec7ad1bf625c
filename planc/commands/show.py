"""`planc show PLAN`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from planc.cli import usage_error
from planc.commands.settings import UsageFault, add_settings, settings
from planc.compile import check
from planc.read import Unreadable, read_path
from planc.report.text import complain
from planc.settle.options import options_fault


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input")
    add_settings(parser)


def run(arguments: Namespace) -> int:
    try:
        given = settings(arguments)
        document = read_path(arguments.plan)
    except (UsageFault, Unreadable) as bad:
        return usage_error(str(bad))
    result = check(document, given)
    if fault := options_fault([result.settled.documents], given.options):
        return usage_error(fault)
    if result.diagnostics:
        complain(result.diagnostics)
    from planc.report.drawing import draw

    draw(result.settled)
    return 1 if result.is_refuted else 0
