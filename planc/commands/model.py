"""The model that a plan is checked against: the flag's, or the one that the plan names."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from planc.ir.document import Document
from planc.settle.extends import chain
from planc.settle.faults import Faults

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph

NONE = "none"
"""The model of a plan that is to be checked without one."""


def add_model(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="MODEL",
        help="a captured graph (file, or the name of a shipped one), hf:CLASS, hf:CONFIG.json, or "
        "FILE.py:FACTORY; by default the one that the plan names; 'none' checks without",
    )  # fmt: skip
    group.add_argument("--no-cache", action="store_true", help="capture the model anew")


def graph_for(document: Document, arguments: Namespace) -> ModelGraph | None:
    """The graph to check a plan against; None where there is none.

    Raises:
        planc.graphs.fault.CaptureFault: the model cannot be had.
    """
    reference, folder, of_plan = arguments.model, None, False
    if reference is None:
        named = next((d for d in chain(document, Faults()) if d.plan.model is not None), None)
        if named is None or not _may_name(named.plan.model):
            return None
        reference, folder, of_plan = named.plan.model, named.source.folder, True
    if reference == NONE:
        return None
    from planc.graphs.cache import graph_of

    return graph_of(reference, folder, of_plan=of_plan, use_cache=not arguments.no_cache)


def _may_name(model: str | None) -> bool:
    """Whether a plan may name this; what it may not is said by a law."""
    from planc.checks.model_reference import is_allowed

    return model is not None and is_allowed(model)
