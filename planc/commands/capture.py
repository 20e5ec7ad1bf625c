"""`planc capture MODEL`"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from planc.cli import EXIT_USAGE, print_usage_error
from planc.commands.model_flags import add_input_flag
from planc.graph.capture_error import CaptureError
from planc.graph.graph_writer import write_graph_file
from planc.ir.graph import ModelGraph, Op
from planc.paths import GRAPH_SUFFIX, GRAPH_SUFFIXES
from planc.report.text import print_diagnostics


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="hf:CLASS, hf:CLASS?NAME=VALUE&..., hf:config.json, package.module:factory or file.py:factory",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"the file to write (default: NAME{GRAPH_SUFFIX} here)"
    )
    add_input_flag(parser)


def run(arguments: Namespace) -> int:
    path = arguments.output or _default_path(arguments.model)
    if not path.endswith(GRAPH_SUFFIXES):
        return print_usage_error(f"{path}: the name of a graph file ends in {' or '.join(GRAPH_SUFFIXES)}")
    if os.path.isdir(path) or not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        return print_usage_error(f"{path}: no such file or directory")
    try:
        from planc.torch.capture.from_reference import capture_reference
    except ImportError as missing:
        return print_usage_error(f"capturing needs torch: {missing}")
    try:
        graph = capture_reference(arguments.model, arguments.inputs)
    except CaptureError as fault:
        print_diagnostics([fault.diagnostic])
        return EXIT_USAGE
    try:
        size = write_graph_file(graph, path)
    except OSError as error:
        return print_usage_error(f"{path}: {(error.strerror or str(error)).lower()}")
    sys.stdout.write(f"{path}: {_summary(graph)}, {size:,} bytes\n")
    return 0


def _default_path(model: str) -> str:
    """The file in the current folder that is named after the class, configuration or factory of a model."""
    name = os.path.basename(model.removeprefix("hf:").partition("?")[0]).rpartition(":")[2]
    for ending in (*GRAPH_SUFFIXES, ".json"):
        name = name.removesuffix(ending)
    return f"{name or 'model'}{GRAPH_SUFFIX}"


def _summary(graph: ModelGraph) -> str:
    tied = {name for tie in graph.ties for name in tie[1:]}
    count = sum(_numel(info.shape) for name, info in graph.parameters.items() if name not in tied)
    steps = sum(isinstance(step, Op) for function in graph.functions for step in function.steps)
    return f"{len(graph.modules_by_name):,} modules, {count:,} parameters, {steps:,} operations"


def _numel(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
