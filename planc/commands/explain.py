"""`planc explain CODE`, `planc explain --list`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.checks import CHECKS, Check, law_page
from planc.cli import print_usage_error
from planc.closest import closest_match
from planc.report.text import Palette, wants_color


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("codes", nargs="*", metavar="CODE", help="as N101, or its name, as unknown-style")
    parser.add_argument("--list", action="store_true", help="every code, a line each")


def run(arguments: Namespace) -> int:
    if arguments.list:
        for row in CHECKS:
            print(f"{row.law.code}  {row.law.severity:<7}  {row.law.name:<20} {law_page(row.law)[0]}")
        return 0
    if not arguments.codes:
        return print_usage_error("which code? 'planc explain --list' names them all")
    known = {row.law.code.lower(): row for row in CHECKS} | {row.law.name: row for row in CHECKS}
    for code in arguments.codes:
        found = known.get(code.lower())
        if found is None:
            meant = closest_match(code.upper(), [r.law.code for r in CHECKS]) or closest_match(
                code.lower(), known
            )
            hint = f"; did you mean '{meant}'?" if meant else "; 'planc explain --list' names them all"
            return print_usage_error(f"there is no code '{code}'{hint}")
        sys.stdout.write(format_page(found, Palette(wants_color(sys.stdout))))
    return 0


def format_page(check: Check, palette: Palette | None = None) -> str:
    """The page of a law for the terminal."""
    palette = palette or Palette(False)
    head, text = law_page(check.law)
    body = text.removeprefix(head)
    law = check.law
    return f"{palette(law.severity, f'{law.severity}[{law.code}]')} {palette('bold', law.name)}\n\n{head}{body}\n\n"
