"""`planc show PLAN`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.cli import USAGE, usage_error
from planc.commands.model import add_model, graph_for
from planc.commands.settings import UsageFault, add_settings, settings
from planc.compile import check
from planc.ir.diagnostic import ModelFault
from planc.read import Unreadable, read_path
from planc.report.text import complain
from planc.settle.options import options_fault


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input")
    add_settings(parser)
    add_model(parser)
    parser.add_argument(
        "--collectives", action="store_true", help="the communication of one step, by rule and module"
    )


def run(arguments: Namespace) -> int:
    try:
        given = settings(arguments)
        document = read_path(arguments.plan)
        graph = graph_for(document, arguments) if arguments.model or arguments.collectives else None
    except (UsageFault, Unreadable) as bad:
        return usage_error(str(bad))
    except ModelFault as bad:
        complain([bad.diagnostic])
        return USAGE
    result = check(document, given, graph)
    if fault := options_fault([result.settled.documents], given.options):
        return usage_error(fault)
    if result.diagnostics:
        complain(result.diagnostics)
        print(file=sys.stderr)
    if arguments.collectives and not result.is_refuted:
        if result.binding is None or result.proof is None:
            return usage_error("collectives need a model: --model MODEL")
        from planc.report.communication import draw_collectives

        draw_collectives(result.binding, result.proof)
        return 0
    from planc.report.drawing import draw

    draw(result.settled)
    return 1 if result.is_refuted else 0
