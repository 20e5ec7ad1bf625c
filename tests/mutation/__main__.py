"""`python -m tests.mutation PLAN --model MODEL --seed 7`: print neighbours of a plan."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice

from planc.cli import EXIT_USAGE, print_usage_error
from planc.commands.model_flags import add_model_flags
from planc.commands.settings_flags import UsageError, add_settings_flags, settings_from_flags
from planc.compile import check_document
from planc.ir.diagnostic import ModelFault
from planc.ir.graph import ModelGraph
from planc.ir.plan import Plan
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.report.text import print_diagnostics
from planc.resolve.options import option_error
from planc.syntax.read_file import PlanFileError, read_path, read_source
from planc.syntax.unparse import unparse
from tests.mutation.flatten_extends import flatten_extends
from tests.mutation.mutants import mutants
from tests.mutation.records import Mutant


class _Request:
    """What the command line asks for."""

    def __init__(self, arguments: Namespace) -> None:
        from planc.graph.model_source import graph_for_plan

        self.arguments = arguments
        self.settings: Settings = settings_from_flags(arguments)
        document = read_path(arguments.plan)
        self.plan: Plan = flatten_extends(document)
        fault = option_error(
            [[read_source(Source(arguments.plan, unparse(self.plan)))]], self.settings.options
        )
        if fault:
            raise UsageError(fault)
        graph = graph_for_plan(document, arguments.model, use_cache=not arguments.no_cache)
        if graph is None:
            raise UsageError("new rules take their names from a model: --model MODEL")
        self.graph: ModelGraph = graph

    def mutants(self) -> Iterator[Mutant]:
        only, count = self.arguments.only, self.arguments.count
        found = mutants(self.plan, self.graph, self.arguments.seed, count=count if only is None else only + 1)
        return found if only is None else islice(found, only, None)


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit status: 0, or 2 for wrong usage and what cannot be read or written."""
    parser = ArgumentParser(
        prog="python -m tests.mutation", description="neighbours of a plan, drawn with a seed"
    )
    _add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        status = _run(_Request(arguments))
        sys.stdout.flush()
    except (UsageError, PlanFileError, ValueError) as bad:
        return print_usage_error(str(bad))
    except ModelFault as bad:
        print_diagnostics([bad.diagnostic])
        return EXIT_USAGE
    except BrokenPipeError:  # the reader went away, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as bad:
        return print_usage_error(f"{bad.filename or 'output'}: {(bad.strerror or str(bad)).lower()}")
    return status


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plan", metavar="PLAN", help="a .plan, .json or .yaml file, or the name of a shipped plan"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--count", type=_nonnegative_int, default=20, metavar="N", help="how many (default: 20)"
    )
    group.add_argument(
        "--only", type=_nonnegative_int, metavar="N", help="the one of this number, from 0 on: its whole text"
    )
    parser.add_argument("--check", action="store_true", help="say what planc says of each")
    parser.add_argument("--write", metavar="FOLDER", help="write each into a file there, NUMBER.plan")
    add_settings_flags(parser)
    add_model_flags(parser)


def _nonnegative_int(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def _run(request: _Request) -> int:
    only, folder = request.arguments.only is not None, request.arguments.write
    if folder:
        os.makedirs(folder, exist_ok=True)
    before, found = unparse(request.plan), False
    for mutant in request.mutants():
        found = True
        text = unparse(mutant.plan)
        print(f"mutant {mutant.number}", *mutant.changes, sep="\n  ")
        if request.arguments.check:
            print(f"  {_verdict(text, request)}")
        print("", text if only else _unified_diff(before, text), sep="\n", end="" if only else "\n")
        if folder:
            with open(
                os.path.join(folder, f"{mutant.number}.plan"), "w", encoding="utf-8", newline=""
            ) as file:
                file.write(text)
    if only and not found:
        return print_usage_error(f"{request.arguments.plan}: it has no mutant {request.arguments.only}")
    return 0


def _verdict(text: str, request: _Request) -> str:
    """What planc says, with the codes of all errors and warnings."""
    result = check_document(read_source(Source("mutant.plan", text)), request.settings, request.graph)
    codes = dict.fromkeys(diagnostic.law.code for diagnostic in result.diagnostics)
    return " ".join((f"{result.verdict}:", *codes)) if codes else result.verdict


def _unified_diff(before: str, after: str) -> str:
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), "plan", "mutant")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
