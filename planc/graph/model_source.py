"""The model that a plan is checked against: the user's choice, or the one that the plan names."""

from __future__ import annotations

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.graph_cache import load_graph, reference_from_folder
from planc.graph.safe_reference import is_safe_reference
from planc.ir.diagnostic import Diagnostic, Fix, Label, ModelFault
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.source import Source, Span
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.extends import extends_chain, plan_directory

NO_MODEL = "none"
"""The model of a plan that is to be checked without one."""


def graph_for_plan(
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
    if reference == NO_MODEL:
        return None
    if reference is not None:
        return load_graph(reference, use_cache=use_cache)
    named = _naming(document)
    if named is None or named.plan.model is None:
        return None
    try:
        folder = named.source.folder
        own = None if folder is None else plan_directory(named, folder)
        return load_graph(named.plan.model, own, named_by_plan=True, use_cache=use_cache)
    except ModelFault as fault:
        raise ModelFault(_at_line(fault.diagnostic, named)) from None


def reference_for_plan(document: Document, reference: str | None = None) -> str:
    """The words that name the model to run: the user's choice, or those of the plan, or of one that it extends.

    Raises:
        ModelFault: nobody names one.
    """
    if reference is not None:
        return reference
    named = _naming(document)
    if named is None or named.plan.model is None:
        source = Source("--model", "")
        raise_capture_error(
            "G803",
            word_label(source),
            "no model is named",
            "needed: --model hf:CLASS, hf:CONFIG.json or FILE.py:FACTORY",
        )
    folder = named.source.folder
    return reference_from_folder(named.plan.model, None if folder is None else plan_directory(named, folder))


def _naming(document: Document) -> Document | None:
    """The document whose plan names the model; what a plan may not name is said by a law."""
    named = next((d for d in extends_chain(document, DiagnosticSink()) if d.plan.model is not None), None)
    return named if named is not None and is_safe_reference(str(named.plan.model)) else None


def _at_line(fault: Diagnostic, document: Document) -> Diagnostic:
    """A fault of the words that name a model, at the line of the plan where they stand."""
    line, words = document.label(("model",)), fault.label
    start = document.source.text.find(words.source.text, line.span.start, line.span.end)
    span = line.span if start < 0 else Span(start + words.span.start, start + words.span.end)
    label = Label(line.source, span, words.text, line.path)
    fix = Fix(fault.fix.message) if fault.fix else None
    return fault.with_(label=label, secondary=(), fix=fix)
