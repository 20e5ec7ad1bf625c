"""The model that a plan is checked against: the user's choice, or the one that the plan names."""

from __future__ import annotations

from planc.checks.model_reference import is_allowed
from planc.graphs.cache import graph_of
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.settle.extends import chain
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
    named = next((d for d in chain(document, Faults()) if d.plan.model is not None), None)
    # What a plan may not name is said by a law.
    if named is None or named.plan.model is None or not is_allowed(named.plan.model):
        return None
    return graph_of(named.plan.model, named.source.folder, of_plan=True, use_cache=use_cache)
