"""`planc capture MODEL`"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from planc.cli import USAGE, usage_error
from planc.graphs.faults import CaptureFault
from planc.graphs.write import ENDING, ENDINGS, write
from planc.ir.graph import ModelGraph, Op
from planc.report.text import complain


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="hf:CLASS, hf:CLASS?NAME=VALUE&..., hf:config.json, package.module:factory or file.py:factory",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"the file to write (default: NAME{ENDING} here)"
    )
    parser.add_argument("--input", metavar="NAME=DTYPE[d0,d1,...]", action="append", default=[], dest="inputs",
                        help="call the model with such a tensor; a number names a position")  # fmt: skip


def run(arguments: Namespace) -> int:
    path = arguments.output or _default(arguments.model)
    if not path.endswith(ENDINGS):
        return usage_error(f"{path}: a graph file ends in {' or '.join(ENDINGS)}")
    if os.path.isdir(path) or not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        return usage_error(f"{path}: no such file or directory")
    try:
        from planc.torch.capture import capture
    except ImportError as missing:
        return usage_error(f"capturing needs torch: {missing}")
    try:
        graph = capture(arguments.model, arguments.inputs)
    except CaptureFault as fault:
        complain([fault.diagnostic])
        return USAGE
    try:
        size = write(graph, path)
    except OSError as bad:
        return usage_error(f"{path}: {(bad.strerror or str(bad)).lower()}")
    sys.stdout.write(f"{path}: {_summary(graph)}, {size:,} bytes\n")
    return 0


def _default(model: str) -> str:
    """The file for a model, in the current folder: named for its class, configuration or factory."""
    name = os.path.basename(model.removeprefix("hf:").partition("?")[0]).rpartition(":")[2]
    for ending in (*ENDINGS, ".json"):
        name = name.removesuffix(ending)
    return f"{name or 'model'}{ENDING}"


def _summary(graph: ModelGraph) -> str:
    tied = {name for tie in graph.ties for name in tie[1:]}
    count = sum(_elements(info.shape) for name, info in graph.parameters.items() if name not in tied)
    steps = sum(isinstance(step, Op) for function in graph.functions for step in function.steps)
    return f"{len(graph.names):,} modules, {count:,} parameters, {steps:,} operations"


def _elements(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
