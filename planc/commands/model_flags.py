"""Flags that name the model of a plan."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from planc.graph.safe_reference import NO_MODEL

if TYPE_CHECKING:
    from planc.ir.document import Document
    from planc.ir.graph import ModelGraph


def add_model_flags(parser: ArgumentParser) -> None:
    """Add the flags that name the model."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="MODEL",
        help="a graph file, the name of a shipped graph, hf:CLASS, hf:CONFIG.json or "
        "FILE.py:FACTORY; by default the model that the plan names; 'none' for no model",
    )  # fmt: skip
    group.add_argument(
        "--no-cache",
        action="store_true",
        help="capture the model again instead of reading its graph from the cache",
    )


def graph_from_flags(document: Document, arguments: Namespace) -> ModelGraph | None:
    """The graph of the model that the flags or the plan name.

    Raises:
        ModelFault: planc cannot find or capture the model.
    """
    if arguments.model == NO_MODEL or (arguments.model is None and not _names_model(document)):
        return None  # without importing what reads graphs
    from planc.graph.model_source import graph_for_plan

    return graph_for_plan(document, arguments.model, use_cache=not arguments.no_cache)


def _names_model(document: Document) -> bool:
    return document.plan.model is not None or document.plan.extends is not None
