"""The page of all codes, `docs/codes.md`, made from the table of laws and their files.

python -m tools.codes_page > docs/codes.md
"""

from __future__ import annotations

from planc.checks import CHECKS, law_page

_HEAD = """\
# Codes of diagnostics

A code is never given to another law. `planc explain CODE` says why a law exists, with
a wrong and a right example. An error refutes the plan; a warning does not.

| code | name | severity | says |
| --- | --- | --- | --- |
"""


def codes_page() -> str:
    """The text of `docs/codes.md`."""
    rows = [
        f"| {r.law.code} | {r.law.name} | {r.law.severity} | {_cell(law_page(r.law)[0])} |\n" for r in CHECKS
    ]
    return _HEAD + "".join(rows)


def _cell(text: str) -> str:
    """A text as it stands in a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(codes_page(), end="")
