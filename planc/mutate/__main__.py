"""`python -m planc.mutate PLAN --model MODEL --seed 7`: print neighbours of a plan."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice

from planc.cli import USAGE, usage_error
from planc.commands.model import add_model
from planc.commands.settings import UsageFault, add_settings, settings
from planc.compile import check
from planc.ir.diagnostic import ModelFault
from planc.ir.graph import ModelGraph
from planc.ir.plan import Plan
from planc.ir.settled import Settings
from planc.ir.source import Source
from planc.mutate.mutants import mutants
from planc.mutate.records import Mutant
from planc.mutate.whole import whole
from planc.read import Unreadable, read_path, read_source
from planc.report.text import complain
from planc.settle.options import options_fault
from planc.text.write import write


class _Asked:
    """What the command line asks for."""

    def __init__(self, arguments: Namespace) -> None:
        from planc.graphs.chosen import graph_for

        self.arguments = arguments
        self.settings: Settings = settings(arguments)
        document = read_path(arguments.plan)
        self.plan: Plan = whole(document)
        fault = options_fault(
            [[read_source(Source(arguments.plan, write(self.plan)))]], self.settings.options
        )
        if fault:
            raise UsageFault(fault)
        graph = graph_for(document, arguments.model, use_cache=not arguments.no_cache)
        if graph is None:
            raise UsageFault("new rules take their names from a model: --model MODEL")
        self.graph: ModelGraph = graph

    def mutants(self) -> Iterator[Mutant]:
        only, count = self.arguments.only, self.arguments.count
        found = mutants(self.plan, self.graph, self.arguments.seed, count=count if only is None else only + 1)
        return found if only is None else islice(found, only, None)


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit status: 0, or 2 for wrong usage and what cannot be read or written."""
    parser = ArgumentParser(
        prog="python -m planc.mutate", description="neighbours of a plan, drawn with a seed"
    )
    _add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        status = _run(_Asked(arguments))
        sys.stdout.flush()
    except (UsageFault, Unreadable, ValueError) as bad:
        return usage_error(str(bad))
    except ModelFault as bad:
        complain([bad.diagnostic])
        return USAGE
    except BrokenPipeError:  # the reader went away, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as bad:
        return usage_error(f"{bad.filename or 'output'}: {(bad.strerror or str(bad)).lower()}")
    return status


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "plan", metavar="PLAN", help="a .plan, .json or .yaml file, or the name of a shipped plan"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--count", type=_number, default=20, metavar="N", help="how many (default: 20)")
    group.add_argument(
        "--only", type=_number, metavar="N", help="the one of this number, from 0 on: its whole text"
    )
    parser.add_argument("--check", action="store_true", help="say what planc says of each")
    parser.add_argument("--write", metavar="FOLDER", help="write each into a file there, NUMBER.plan")
    add_settings(parser)
    add_model(parser)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def _run(asked: _Asked) -> int:
    only, folder = asked.arguments.only is not None, asked.arguments.write
    if folder:
        os.makedirs(folder, exist_ok=True)
    before, found = write(asked.plan), False
    for mutant in asked.mutants():
        found = True
        text = write(mutant.plan)
        print(f"mutant {mutant.number}", *mutant.changes, sep="\n  ")
        if asked.arguments.check:
            print(f"  {_verdict(text, asked)}")
        print("", text if only else _difference(before, text), sep="\n", end="" if only else "\n")
        if folder:
            with open(
                os.path.join(folder, f"{mutant.number}.plan"), "w", encoding="utf-8", newline=""
            ) as file:
                file.write(text)
    if only and not found:
        return usage_error(f"{asked.arguments.plan}: it has no mutant {asked.arguments.only}")
    return 0


def _verdict(text: str, asked: _Asked) -> str:
    """What planc says, with the codes of all errors and warnings."""
    result = check(read_source(Source("mutant.plan", text)), asked.settings, asked.graph)
    codes = dict.fromkeys(diagnostic.law.code for diagnostic in result.diagnostics)
    return " ".join((f"{result.verdict}:", *codes)) if codes else result.verdict


def _difference(before: str, after: str) -> str:
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), "plan", "mutant")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
