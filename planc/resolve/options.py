"""Checks the values that the user gives for options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planc.closest import closest_match, join_names
from planc.ir.document import Document
from planc.ir.expr import ExprValue


def option_error(chains: Iterable[Iterable[Document]], given: Mapping[str, ExprValue]) -> str | None:
    """The first error in the values given for options; None: there is none.

    Some plan of the run must declare the option, with a default of the same type.
    """
    documents = [document for chain in chains for document in chain]
    known = {option.name: option.value for d in documents for option in d.plan.options}
    unparsed_words = {word for document in documents for word in document.unparsed_words}
    for name, value in given.items():
        if name not in known:
            if name in unparsed_words:
                continue
            meant = closest_match(name, known)
            has = f"the options are {join_names(known)}" if known else "the plan has no options"
            return f"there is no option '{name}'; " + (f"did you mean '{meant}'?" if meant else has)
        if type(value) is not type(known[name]):
            return f"option '{name}' takes {'true or false' if isinstance(known[name], bool) else 'a number'}"
    return None
