"""The checks: a file for each law that a function of its own finds violated.

The docstring of the file is the page that `planc explain` prints; its examples are tested. `pages/` holds
the pages of the laws that other stages find violated. The table of laws is in `planc/ir/laws.py`.
"""

from __future__ import annotations

from importlib import import_module

from planc.ir.laws import Law


def law_page(law: Law) -> tuple[str, str]:
    """The title of the page of a law, and the whole page."""
    page = (import_module(law.module).__doc__ or "").strip()
    return page.partition("\n")[0], page
