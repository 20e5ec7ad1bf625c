"""The command line: one module of `planc/commands/` for each command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

EXIT_USAGE = 2
"""Exit status of wrong usage, and of files and models that cannot be read."""
EXIT_UNPROVED = 3
"""Exit status where no plan is refuted, and not all could be proved."""

COMMANDS = {
    "check": "check plans, and say every fault with its place",
    "verify": "run a model split by a plan against the same model unsplit, and compare numbers",
    "fmt": "write plans in their one canonical form",
    "show": "draw a plan after options, lets, extends and when are worked in",
    "convert": "turn a plan into text, JSON, YAML or Python",
    "capture": "run a model once on fake tensors, and write its graph",
    "schema": "print the JSON Schema of the data form",
    "explain": "say what a code means, and why the law exists",
}

_HELP = """usage: planc COMMAND [ARGUMENTS]

A compiler for parallelism plans of PyTorch models.

commands:
{commands}

'planc COMMAND --help' says more of one.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 no error, 1 an error in a plan, 2 wrong
    usage or an unreadable file, 3 not proved."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(argv)
    except BrokenPipeError:
        # The reader went away, as in `planc ... | head`: not a fault of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as bad:  # a full disk behind standard output; files are read with care
        return print_usage_error((bad.strerror or str(bad)).lower())


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        table = "\n".join(f"  {name:<9} {text}" for name, text in COMMANDS.items())
        print(_HELP.format(commands=table), end="")
        return 0 if argv else EXIT_USAGE
    if argv[0] in ("-V", "--version"):
        from planc.version import __version__

        print(f"planc {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        from planc.closest import closest_match

        meant = closest_match(argv[0], COMMANDS)
        hint = f"; did you mean '{meant}'?" if meant else ""
        return print_usage_error(f"there is no command '{argv[0]}'{hint}")
    import argparse

    name = argv[0]
    module = import_module(f"planc.commands.{name}")
    parser = argparse.ArgumentParser(prog=f"planc {name}", description=COMMANDS[name])
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(argv[1:]))
    sys.stdout.flush()
    return status


def print_usage_error(message: str) -> int:
    """Say what is wrong with the command line."""
    print(f"planc: {message}", file=sys.stderr)
    return EXIT_USAGE


def run_as_program() -> int:
    """The console script: `main` in a process of its own."""
    import gc

    for stream in (sys.stdout, sys.stderr):
        # A plan may hold what a narrow terminal cannot show: that is no reason to end.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What a run builds lives until its end: collecting only costs time.
    gc.disable()
    return main()
