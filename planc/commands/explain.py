"""`planc explain CODE`, `planc explain --list`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from planc.checks import CHECKS, Row, explained
from planc.cli import usage_error
from planc.near import nearest
from planc.report.text import Paint, wants_color


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("codes", nargs="*", metavar="CODE", help="as N101, or its name, as unknown-style")
    parser.add_argument("--list", action="store_true", help="every code, a line each")


def run(arguments: Namespace) -> int:
    if arguments.list:
        for row in CHECKS:
            print(f"{row.law.code}  {row.law.severity:<7}  {row.law.name:<20} {explained(row.law)[0]}")
        return 0
    if not arguments.codes:
        return usage_error("which code? 'planc explain --list' names them all")
    known = {row.law.code.lower(): row for row in CHECKS} | {row.law.name: row for row in CHECKS}
    for code in arguments.codes:
        found = known.get(code.lower())
        if found is None:
            meant = nearest(code.upper(), [r.law.code for r in CHECKS]) or nearest(code.lower(), known)
            hint = f"; did you mean '{meant}'?" if meant else "; 'planc explain --list' names them all"
            return usage_error(f"there is no code '{code}'{hint}")
        sys.stdout.write(page(found, Paint(wants_color(sys.stdout))))
    return 0


def page(row: Row, paint: Paint | None = None) -> str:
    """The page of a law for the terminal."""
    paint = paint or Paint(False)
    head, text = explained(row.law)
    body = text.removeprefix(head)
    law = row.law
    return (
        f"{paint(law.severity, f'{law.severity}[{law.code}]')} {paint('bold', law.name)}\n\n{head}{body}\n\n"
    )
