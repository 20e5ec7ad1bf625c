"""`planc explain CODE`, `planc explain --list`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.checks import law_page
from planc.cli import print_usage_error
from planc.closest import closest_match
from planc.ir.laws import LAWS, Law
from planc.report.text import Palette, wants_color


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "codes", nargs="*", metavar="CODE", help="a code, as N101, or the name of a law, as unknown-style"
    )
    parser.add_argument("--list", action="store_true", help="list all codes")


def run(arguments: Namespace) -> int:
    if arguments.list:
        for law in LAWS:
            print(f"{law.code}  {law.severity:<7}  {law.name:<20} {law_page(law)[0]}")
        return 0
    if not arguments.codes:
        return print_usage_error("no code is given; 'planc explain --list' lists them all")
    known = {law.code.lower(): law for law in LAWS} | {law.name: law for law in LAWS}
    for code in arguments.codes:
        found = known.get(code.lower())
        if found is None:
            closest = closest_match(code.upper(), [law.code for law in LAWS]) or closest_match(
                code.lower(), known
            )
            hint = f"; did you mean '{closest}'?" if closest else "; 'planc explain --list' lists them all"
            return print_usage_error(f"there is no code '{code}'{hint}")
        sys.stdout.write(format_page(found, Palette(wants_color(sys.stdout))))
    return 0


def format_page(law: Law, palette: Palette | None = None) -> str:
    """The page of a law for the terminal."""
    palette = palette or Palette(False)
    title, page = law_page(law)
    code = palette(law.severity, f"{law.severity}[{law.code}]")
    return f"{code} {palette('bold', law.name)}\n\n{title}{page.removeprefix(title)}\n\n"
