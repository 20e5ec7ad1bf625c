"""The model that a plan is checked against: the user's choice, or the one that the plan names."""

from __future__ import annotations

from planc.checks.model_reference import is_allowed
from planc.graphs.cache import graph_of, located
from planc.graphs.faults import refuse, whole
from planc.ir.diagnostic import Diagnostic, Fix, Label, ModelFault
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.source import Source, Span
from planc.settle.extends import beside, chain
from planc.settle.faults import Faults

NONE = "none"
"""The model of a plan that is to be checked without one."""


def graph_for(
    document: Document, reference: str | None = None, *, use_cache: bool = True
) -> ModelGraph | None:
    """The graph to check a plan against; None where there is none.

    Args:
        document: the plan.
        reference: the user's choice; None: the model that the plan, or one that it extends, names.
        use_cache: whether a graph that was captured before will do.

    Raises:
        ModelFault: the model cannot be had.
    """
    if reference == NONE:
        return None
    if reference is not None:
        return graph_of(reference, use_cache=use_cache)
    named = _naming(document)
    if named is None or named.plan.model is None:
        return None
    try:
        folder = named.source.folder
        own = None if folder is None else beside(named, folder)
        return graph_of(named.plan.model, own, of_plan=True, use_cache=use_cache)
    except ModelFault as fault:
        raise ModelFault(_at_line(fault.diagnostic, named)) from None


def reference_for(document: Document, reference: str | None = None) -> str:
    """The words that name the model to run: the user's choice, or those of the plan, or of one that it extends.

    Raises:
        ModelFault: nobody names one.
    """
    if reference is not None:
        return reference
    named = _naming(document)
    if named is None or named.plan.model is None:
        source = Source("--model", "")
        refuse(
            "G803",
            "no model is named",
            whole(source),
            "needed: --model hf:CLASS, hf:CONFIG.json or FILE.py:FACTORY",
        )
    folder = named.source.folder
    return located(named.plan.model, None if folder is None else beside(named, folder))


def _naming(document: Document) -> Document | None:
    """The document whose plan names the model; what a plan may not name is said by a law."""
    named = next((d for d in chain(document, Faults()) if d.plan.model is not None), None)
    return named if named is not None and is_allowed(str(named.plan.model)) else None


def _at_line(fault: Diagnostic, document: Document) -> Diagnostic:
    """A fault of the words that name a model, at the line of the plan where they stand."""
    line, words = document.label(("model",)), fault.label
    start = document.source.text.find(words.source.text, line.span.start, line.span.end)
    span = line.span if start < 0 else Span(start + words.span.start, start + words.span.end)
    label = Label(line.source, span, words.text, line.path)
    fix = Fix(fault.fix.message) if fault.fix else None
    return Diagnostic(fault.law, fault.message, label, (), fault.notes, fix, fault.module, fault.operation)
