"""Writing graph files: the same graph gives the same bytes."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from planc.graph.codec import encode_argument, encode_tensor_info
from planc.ir.graph import FORMAT_VERSION, Call, Function, ModelGraph, ModuleDef, Op, TensorInfo


def graph_to_text(graph: ModelGraph) -> str:
    """A graph as JSON, one step per line."""
    head = {
        "planc_graph": FORMAT_VERSION,
        "model": graph.model,
        "versions": dict(sorted(graph.versions.items())),
        "facts": dict(sorted(graph.facts.items())),
        "inputs": _infos(graph.inputs),
        "ties": [list(tie) for tie in graph.ties],
    }
    parts = [f'"{key}": {_dump(value)}' for key, value in head.items()]
    if graph.buffer_ties:
        parts.append(f'"buffer_ties": {_dump([list(tie) for tie in graph.buffer_ties])}')
    if graph.input_options:
        parts.append(f'"input_options": {_dump(list(graph.input_options))}')
    if graph.source_lines:
        lines = {
            str(number): {str(n): text for n, text in of.items()} for number, of in graph.source_lines.items()
        }
        parts.append(f'"source_lines": {_dump(lines)}')
    if graph.second_runs:
        parts.append(
            f'"second_runs": {_dump({str(number): text for number, text in graph.second_runs.items()})}'
        )
    parts.append(_lines("modules", [_dump(encode_module(module)) for module in graph.modules]))
    parts.append(_lines("functions", [_function_text(function) for function in graph.functions]))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def graph_to_bytes(graph: ModelGraph, *, zipped: bool = True) -> bytes:
    """The bytes of a graph file."""
    data = graph_to_text(graph).encode()
    return gzip.compress(data, compresslevel=9, mtime=0) if zipped else data


def write_graph_file(graph: ModelGraph, path: str) -> int:
    """Write a graph file completely or not at all, and return its size in bytes.

    Raises:
        OSError: planc cannot write the file.
    """
    data = graph_to_bytes(graph, zipped=path.endswith(".gz"))
    target = os.path.realpath(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".planc-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return len(data)


def _mode(path: str) -> int:
    """The mode bits of the file that is replaced, or those of a new file."""
    try:
        return os.stat(path).st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def encode_module(module: ModuleDef) -> dict[str, Any]:
    """The JSON form of a module definition, without the parts that are empty."""
    parts = {
        "bases": list(module.bases),
        "parameters": _infos(module.parameters),
        "buffers": _infos(module.buffers),
        "attributes": dict(sorted(module.attributes.items())),
        "children": dict(module.children),
    }
    return {"class": module.class_name} | {key: part for key, part in parts.items() if part}


def encode_function(function: Function) -> dict[str, Any]:
    """The JSON form of a function."""
    return {
        "inputs": function.inputs,
        "tensors": [encode_tensor_info(info) for info in function.tensors],
        "steps": [_step_form(step) for step in function.steps],
        "result": encode_argument(function.result),
        "exports": list(function.exports),
    }


def _function_text(function: Function) -> str:
    form = encode_function(function)
    steps = ",\n  ".join(_dump(step) for step in form.pop("steps"))
    return f'{_dump(form)[:-1]},"steps":[' + (f"\n  {steps}" if steps else "") + "]}"


def _step_form(step: Op | Call) -> list[Any]:
    keywords = {key: encode_argument(value) for key, value in step.keywords.items()}
    form = [encode_argument(step.arguments), keywords, list(step.results)]
    if isinstance(step, Op):
        return [step.name, *form]
    return [f">{step.module}", *form, step.function, list(step.free_tensors)]


def _infos(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    return {name: encode_tensor_info(info) for name, info in infos.items()}


def _lines(key: str, items: list[str]) -> str:
    return f'"{key}": [\n' + ",\n".join(items) + "\n]"


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
