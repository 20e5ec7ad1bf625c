"""Measures of facts that have one place: walks, rows of operations, block kinds and styles, diagnostics, wrappers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tools.measures.codebase import Codebase, string_constants

TREE = "ir/tree.py"
CONTAINERS = {"tuple", "list", "dict", "Mapping", "Sequence", "slice"}
"""Types of the trees of arguments that `ir/tree.py` walks."""
OTHER_TREES: dict[str, str] = {
    "api.py: _builtin_containers": "the data form of a plan",
    "graph/codec.py: decode_argument": "the JSON of a graph file, read with distrust",
    "ir/record_index.py: _walk": "the records of a plan",
    "syntax/data/serialize.py: _classes": "the records of a plan",
    "syntax/data/serialize.py: _code": "the records of a plan",
    "syntax/data/serialize.py: to_data": "the records of a plan",
}
"""Recursive functions over trees that are none of arguments, as `FILE: NAME`, each with what it walks."""
BLOCK_KINDS = {"tensor", "data", "fsdp", "recompute", "compile"}
STYLES = {"colwise", "rowwise", "packed_colwise", "sequence", "vocab_parallel"}
LAYOUTS_TOO = {"replicate", "whole"}
"""Styles whose names are layouts too: only next to `style` they ask for a style."""
_ROWS = re.compile(r"(ir/(blocks|styles|layout)|block_kinds|styles|(syntax|blocks|text|data)/.*)\.py")
"""Files that hold rows of block kinds and styles, and what reads and writes them."""


def recursive_walkers(code: Codebase) -> list[str]:
    """Functions outside `ir/tree.py` that call themselves on the items of a tuple, list, mapping or slice."""
    found = {
        f"{code.name(path)}: {node.name}"
        for path, node in code.functions
        if code.name(path) != TREE and calls_itself(node) and CONTAINERS & set(tested_types(node))
    }
    return sorted(found - set(OTHER_TREES))


def calls_itself(function: ast.FunctionDef) -> bool:
    """Whether a function calls itself, or hands itself to another one, as to `map`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            for one in (node.func, *node.args):
                if isinstance(one, ast.Name) and one.id == function.name:
                    return True
                if isinstance(one, ast.Attribute) and one.attr == function.name:
                    return ast.unparse(one.value) in ("self", "cls")
    return False


def tested_types(function: ast.FunctionDef) -> Iterator[str]:
    """The types that a function tests for by `isinstance`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            yield from (name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name))


def operations_with_rules(code: Codebase) -> set[str]:
    """The names of the operations that have a row in `proof/rules/`."""
    return {
        item.value
        for _, function in code.functions
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in ("op_rule", "rule")
        for item in decorator.args
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    }


def operation_tables(code: Codebase) -> list[str]:
    """Collections of operation names outside their rows; `torch/` has names of its own for what it records,
    and operators on Python's numbers have rows of their own."""
    known, found = operations_with_rules(code), []
    for path in code.paths:
        if code.name(path).startswith("torch/") or code.name(path) == "ir/number_ops.py":
            continue
        for statement in code.trees[path].body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                names = " ".join(string_constants(statement.value)).split()
                if len(names) >= 3 and sum(name in known for name in names) > len(names) / 2:
                    found.append(f"{code.name(path)}: {ast.unparse(statement).partition('=')[0].strip()}")
    return found


def asked_by_name(code: Codebase) -> list[str]:
    """Questions whether a block, an axis or a style is of a kind that is written out."""
    found = []
    for path in code.paths:
        name = code.name(path)
        if _ROWS.fullmatch(name):
            continue
        for node in ast.walk(code.trees[path]):
            # An operation may be called `tensor`, and a law `sequence`.
            is_rule = name.startswith("proof/rules/") and not isinstance(node, ast.Compare)
            if not is_rule and asks_by_name(node):
                found.append(
                    f"{name}:{getattr(node, 'lineno', 0)}: {ast.unparse(node).splitlines()[0][:100]}"
                )
    return found


def asks_by_name(node: ast.AST) -> bool:
    """Whether a comparison, a case, a key or an argument is the name of a block kind, an axis kind or a style."""
    if isinstance(node, ast.Compare):
        words = {word for part in (node.left, *node.comparators) for word in string_constants(part)}
    elif isinstance(node, ast.MatchValue):
        words = set(string_constants(node.value))
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) != "Literal":
        words = set(string_constants(node.slice))
    elif isinstance(node, ast.Call):
        words = {
            word
            for one in node.args
            if isinstance(one, ast.Constant | ast.BinOp)
            for word in string_constants(one)
        }
    else:
        return False
    return bool(words & (BLOCK_KINDS | STYLES)) or bool(words & LAYOUTS_TOO and "style" in ast.unparse(node))


def diagnostic_makers(code: Codebase) -> list[str]:
    """Functions that construct a `Diagnostic`."""
    return [
        f"{code.name(path)}: {node.name}"
        for path, node in code.functions
        if any(isinstance(n, ast.Call) and ast.unparse(n.func) == "Diagnostic" for n in ast.walk(node))
    ]


def forward_assignments(code: Codebase) -> list[str]:
    """Places that replace the `forward` of a module."""
    return [
        f"{code.name(path)}:{node.lineno}"
        for path in code.paths
        for node in ast.walk(code.trees[path])
        if isinstance(node, ast.Assign | ast.Call) and replaces_forward(node)
    ]


def replaces_forward(node: ast.Assign | ast.Call) -> bool:
    """Whether a statement sets an attribute `forward`."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Attribute) and target.attr == "forward" for target in node.targets)
    is_setter = ast.unparse(node.func).endswith("setattr") or ast.unparse(node.func).endswith("__setattr__")
    return is_setter and any(isinstance(one, ast.Constant) and one.value == "forward" for one in node.args)
