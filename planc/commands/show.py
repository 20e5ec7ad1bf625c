"""`planc show PLAN`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.cli import EXIT_USAGE, print_usage_error
from planc.commands.model_flags import add_model_flags, graph_from_flags
from planc.commands.settings_flags import UsageError, add_settings_flags, settings_from_flags
from planc.compile import check_document, read
from planc.ir.diagnostic import ModelFault
from planc.report.text import print_diagnostics
from planc.resolve.options import option_error
from planc.syntax.read_file import PlanFileError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a .plan, .json or .yaml file; - for standard input")
    add_settings_flags(parser)
    add_model_flags(parser)
    parser.add_argument(
        "--collectives", action="store_true", help="print the collectives of one step, by rule and module"
    )


def run(arguments: Namespace) -> int:
    try:
        given = settings_from_flags(arguments)
        document = read(arguments.plan)
        graph = graph_from_flags(document, arguments) if arguments.model or arguments.collectives else None
    except (UsageError, PlanFileError) as error:
        return print_usage_error(str(error))
    except ModelFault as error:
        print_diagnostics([error.diagnostic])
        return EXIT_USAGE
    result = check_document(document, given, graph)
    if fault := option_error([result.resolved.documents], given.options):
        return print_usage_error(fault)
    if result.diagnostics:
        print_diagnostics(result.diagnostics)
        print(file=sys.stderr)
    if arguments.collectives and not result.is_refuted:
        if result.binding is None or result.proof is None:
            return print_usage_error("collectives need a model: --model MODEL")
        from planc.report.collectives_table import print_collectives

        print_collectives(result)
        return 0
    from planc.report.plan_tree import print_plan_tree

    print_plan_tree(result.resolved)
    return 1 if result.is_refuted else 0
