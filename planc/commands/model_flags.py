"""Flags that name the model of a plan."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planc.ir.document import Document
    from planc.ir.graph import ModelGraph


def add_model_flags(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="MODEL",
        help="a captured graph (file, or the name of a shipped one), hf:CLASS, hf:CONFIG.json, or "
        "FILE.py:FACTORY; by default the one that the plan names; 'none' checks without",
    )  # fmt: skip
    group.add_argument("--no-cache", action="store_true", help="capture the model anew")


def graph_from_flags(document: Document, arguments: Namespace) -> ModelGraph | None:
    """The graph that the flags, or the plan, choose.

    Raises:
        ModelFault: the model cannot be had.
    """
    if arguments.model is None and not _names_model(document):
        return None  # and nothing that reads graphs is loaded
    from planc.graph.model_source import graph_for_plan

    return graph_for_plan(document, arguments.model, use_cache=not arguments.no_cache)


def _names_model(document: Document) -> bool:
    return document.plan.model is not None or document.plan.extends is not None
