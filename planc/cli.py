"""The command line: one module of `planc/commands/` for each command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

EXIT_USAGE = 2
"""Exit status of wrong usage, and of files and models that planc cannot read."""
EXIT_UNPROVED = 3
"""Exit status if planc refutes no plan, and cannot prove all of them."""

COMMANDS = {
    "check": "check plans, and report every error with its place",
    "verify": "run a model with and without its plan, and compare the numbers",
    "fmt": "rewrite plans in canonical form",
    "show": "show a plan after extends, options, lets and conditions are resolved",
    "convert": "convert a plan to text, JSON, YAML or Python",
    "capture": "run a model once on fake tensors, and write its graph to a file",
    "schema": "print the JSON Schema of the data form",
    "explain": "explain a code: the law, why it exists, a wrong and a right example",
}

_HELP = """usage: planc COMMAND [ARGUMENTS]

A compiler for parallelism plans of PyTorch models.

commands:
{commands}

Run 'planc COMMAND --help' for the arguments of a command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after `planc`; by default those of the process.

    Returns:
        The exit status: 0 no error, 1 an error in a plan, 2 wrong usage or an unreadable file, 3 not proved.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(argv)
    except BrokenPipeError:
        # The reader of the output has gone, as in `planc ... | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # as a full disk behind standard output; commands catch those of files
        return print_usage_error((error.strerror or str(error)).lower())


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

        closest = closest_match(argv[0], COMMANDS)
        hint = f"; did you mean '{closest}'?" if closest else ""
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
    """Print what is wrong with the command line. Returns the exit status."""
    print(f"planc: {message}", file=sys.stderr)
    return EXIT_USAGE


def run_as_program() -> int:
    """The console script: `main` in a process of its own."""
    import gc

    for stream in (sys.stdout, sys.stderr):
        # A plan may contain characters that the terminal cannot show.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Almost all objects live until the end of the run: collecting garbage would only cost time.
    gc.disable()
    return main()
