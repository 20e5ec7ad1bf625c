"""Flags that name the model of a plan."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from planc.graph.safe_reference import INPUT_FLAG, NO_MODEL

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
    add_input_flag(parser)


def add_input_flag(parser: ArgumentParser) -> None:
    """Add the flag that sets an input of the model for its capture."""
    parser.add_argument(
        INPUT_FLAG, metavar="NAME=DTYPE[d0,d1,...]", action="append", default=[], dest="inputs",
        help="an input of the model; a number for NAME is a position, and a star at the end says that it needs a gradient",
    )  # fmt: skip


def graph_from_flags(document: Document, arguments: Namespace) -> ModelGraph | None:
    """The graph of the model that the flags or the plan name.

    Raises:
        ModelFault: planc cannot find or capture the model; or there is none, and there are inputs for it.
    """
    if arguments.model == NO_MODEL or (arguments.model is None and not _names_model(document)):
        if arguments.inputs:
            from planc.graph.capture_error import raise_capture_error, word_label
            from planc.ir.source import Source

            label = word_label(Source(INPUT_FLAG, arguments.inputs[0]))
            raise_capture_error("G804", label, "there is no model to capture", "needed: --model MODEL")
        return None  # without importing what reads graphs
    from planc.graph.model_source import graph_for_plan

    return graph_for_plan(
        document, arguments.model, use_cache=not arguments.no_cache, inputs=arguments.inputs
    )


def _names_model(document: Document) -> bool:
    return document.plan.model is not None or document.plan.extends is not None
