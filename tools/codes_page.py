"""The page of all codes, `docs/codes.md`, made from the table of laws and their files.

python -m tools.codes_page > docs/codes.md
"""

from __future__ import annotations

from planc.checks import law_page
from planc.ir.laws import LAWS

_HEAD = """\
# Codes of diagnostics

A code is never given to another law. `planc explain CODE` says why a law exists, with
a wrong and a right example. An error refutes the plan; a warning does not.

| code | name | severity | says |
| --- | --- | --- | --- |
"""


def codes_page() -> str:
    """The text of `docs/codes.md`."""
    rows = [f"| {law.code} | {law.name} | {law.severity} | {_cell(law_page(law)[0])} |\n" for law in LAWS]
    return _HEAD + "".join(rows)


def _cell(text: str) -> str:
    """A text as it stands in a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(codes_page(), end="")
