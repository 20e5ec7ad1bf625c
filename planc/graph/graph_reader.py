"""Reading graph files: any file gives a graph or a `GraphFormatError`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from planc.graph.codec import GraphFormatError, decode_tensor_info, shortened
from planc.graph.decode_functions import decode_functions
from planc.graph.validate import validate_graph
from planc.ir.graph import FORMAT_VERSION, ModelGraph, ModuleDef, TensorInfo
from planc.regular_files import open_regular_file

MAX_FILE_BYTES = 32 << 20
MAX_UNZIPPED_BYTES = 128 << 20
"""The largest file, and the largest content once unzipped."""


def read_graph_file(path: str) -> ModelGraph:
    """The graph of a file.

    Raises:
        GraphFormatError: the file is damaged, has another version, or is not a graph.
        OSError: planc cannot read the file, or it is not a regular file.
    """
    with open_regular_file(path) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise GraphFormatError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    return graph_from_bytes(data)


def graph_from_bytes(data: bytes) -> ModelGraph:
    """The graph of the bytes of a file, gzipped or not.

    Raises:
        GraphFormatError: as for `read_graph_file`.
    """
    if data[:2] == b"\x1f\x8b":
        data = _inflate(data)
    try:
        form = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise GraphFormatError("not JSON: the file is damaged, or is not a graph") from None
    if not isinstance(form, dict) or "planc_graph" not in form:
        raise GraphFormatError("this is not a graph that planc captured")
    version = form["planc_graph"]
    if type(version) is not int or version != FORMAT_VERSION:
        raise GraphFormatError(
            f"this graph has version {shortened(version)}; planc reads version {FORMAT_VERSION}"
        )
    try:
        graph = _graph(form)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as bad:
        raise GraphFormatError(f"this graph is damaged: {type(bad).__name__} {shortened(str(bad))}") from None
    validate_graph(graph)
    return graph


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _inflate(data: bytes) -> bytes:
    """Unzip up to a limit: a small file may unzip to terabytes."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        text = inflater.decompress(data, MAX_UNZIPPED_BYTES)
    except zlib.error:
        raise GraphFormatError("the file is damaged: it does not unzip") from None
    if inflater.unconsumed_tail:
        raise GraphFormatError(f"the file holds more than {MAX_UNZIPPED_BYTES >> 20} MiB")
    if not inflater.eof:
        raise GraphFormatError("the file ends too early: it was not written completely")
    if inflater.unused_data:
        raise GraphFormatError("the file goes on after its end")
    return text


def _graph(form: Mapping[str, Any]) -> ModelGraph:
    facts = form["facts"]
    if not all(isinstance(fact, bool | int) for fact in facts.values()):
        raise GraphFormatError("a fact is not a number")
    infos: dict[Any, TensorInfo] = {}
    modules = tuple([_module(module, number, infos) for number, module in enumerate(_list(form["modules"]))])
    functions = decode_functions(_list(form["functions"]), partial(_info, infos))
    if not modules or not functions:
        raise GraphFormatError("this graph is empty")
    return ModelGraph(
        _text(form["model"]),
        {name: _text(version) for name, version in form["versions"].items()},
        dict(facts),
        _infos(form["inputs"], infos),
        modules,
        functions,
        _ties(form["ties"]),
        _ties(form.get("buffer_ties", [])),
        tuple([_text(option) for option in _list(form.get("input_options", []))]),
        {
            int(number): {int(step): _text(line) for step, line in lines.items()}
            for number, lines in form.get("source_lines", {}).items()
        },
        _second_runs(form.get("second_runs", {}), len(functions)),
    )


def _second_runs(form: Mapping[str, Any], functions: int) -> dict[int, str]:
    runs = {int(number): _text(text) for number, text in form.items()}
    if not all(0 <= number < functions for number in runs):
        raise GraphFormatError("a second run is of a function that does not exist")
    return runs


def _ties(form: Any) -> tuple[tuple[str, ...], ...]:
    return tuple([tuple([_text(name) for name in _list(tie)]) for tie in _list(form)])


def _module(form: Mapping[str, Any], number: int, infos: dict[Any, TensorInfo]) -> ModuleDef:
    children = dict(form.get("children", {}))
    # A definition comes after those of its children, so none contains itself.
    if not all(type(child) is int and 0 <= child < number for child in children.values()):
        raise GraphFormatError(f"module {number} contains a module that is not defined before it")
    attributes = dict(form.get("attributes", {}))
    if not all(type(value) is int for value in attributes.values()):
        raise GraphFormatError(f"module {number} has an attribute that is not a number")
    return ModuleDef(
        _text(form["class"]),
        tuple([_text(base) for base in _list(form.get("bases", []))]),
        _infos(form.get("parameters", {}), infos),
        _infos(form.get("buffers", {}), infos),
        attributes,
        children,
    )


def _infos(form: Mapping[str, Any], known: dict[Any, TensorInfo]) -> dict[str, TensorInfo]:
    return {name: _info(known, text) for name, text in form.items()}


def _info(known: dict[Any, TensorInfo], text: Any) -> TensorInfo:
    """The tensor that a text describes; a graph repeats most texts many times."""
    found = known.get(text)
    if found is None:
        found = known[text] = decode_tensor_info(text)
    return found


def _text(data: Any) -> str:
    if not isinstance(data, str) or len(data) > 10_000:
        raise GraphFormatError(f"not a text: {shortened(data)}")
    return data


def _list(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise GraphFormatError(f"not a list: {shortened(data)}")
    return data
