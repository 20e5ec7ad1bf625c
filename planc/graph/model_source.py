"""The model that a plan is checked against: the one that the user names, or the one that the plan names."""

from __future__ import annotations

from collections.abc import Sequence

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.load_graph import load_graph, reference_from_folder
from planc.graph.safe_reference import INPUT_FLAG, NO_MODEL, is_safe_reference
from planc.ir.diagnostic import Diagnostic, Fix, Label, ModelFault
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.source import Source, Span
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.extends import extends_chain, plan_directory


def graph_for_plan(
    document: Document, reference: str | None = None, *, use_cache: bool = True, inputs: Sequence[str] = ()
) -> ModelGraph | None:
    """The graph to check a plan against; None: neither the user nor the plan names a model.

    Args:
        document: the plan.
        reference: the model that the user names; None: the one that the plan, or a plan that it extends, names.
        use_cache: whether to take a graph that an earlier run has captured.
        inputs: inputs for the capture, as `--input` takes them.

    Raises:
        ModelFault: there is no such model, or planc cannot capture it.
    """
    if reference == NO_MODEL:
        return None
    if reference is not None:
        return load_graph(reference, use_cache=use_cache, inputs=inputs)
    named = _document_with_model(document)
    if named is None or named.plan.model is None:
        return None
    try:
        folder = named.source.folder
        base = None if folder is None else plan_directory(named, folder)
        return load_graph(named.plan.model, base, named_by_plan=True, use_cache=use_cache, inputs=inputs)
    except ModelFault as fault:
        if fault.diagnostic.label.source.name == INPUT_FLAG:
            raise
        raise ModelFault(_at_line(fault.diagnostic, named)) from None


def reference_for_plan(document: Document, reference: str | None = None) -> str:
    """The reference of the model to run: the user's, or that of the plan or of a plan that it extends.

    Raises:
        ModelFault: neither names a model.
    """
    if reference is not None:
        return reference
    named = _document_with_model(document)
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


def _document_with_model(document: Document) -> Document | None:
    """The document whose plan names the model. A law reports what a plan may not name, so that is left out here."""
    named = next((d for d in extends_chain(document, DiagnosticSink()) if d.plan.model is not None), None)
    return named if named is not None and is_safe_reference(str(named.plan.model)) else None


def _at_line(fault: Diagnostic, document: Document) -> Diagnostic:
    """A diagnostic about a reference, moved to the line of the plan that names it."""
    line, words = document.label(("model",)), fault.label
    start = document.source.text.find(words.source.text, line.span.start, line.span.end)
    span = line.span if start < 0 else Span(start + words.span.start, start + words.span.end)
    label = Label(line.source, span, words.text, line.path)
    fix = Fix(fault.fix.message) if fault.fix else None
    return fault.with_(label=label, secondary=(), fix=fix)
