"""Whether the code of a model may take another branch in eval mode than in training.

The bytecode says which methods read `training` at all. Of those, the source says how: `if self.training:` is a branch,
`p if self.training else 0.0` and `dropout(x, p, self.training)` only turn a probability off.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from types import FunctionType
from typing import Any

from torch import nn

from planc.torch.capture.static_truth import static_truth


def branches_on_training(model: nn.Module) -> bool:
    """Whether code of the model's own classes may branch by `self.training`; torch's own modules compute the same
    functions in both modes, but for random numbers and statistics."""
    return any(_may_branch(module) for module in model.modules())


def _may_branch(module: nn.Module) -> bool:
    kind: Any = type(module)
    for test in _tests_of(kind):
        if test is None:
            return True
        names = _aliases(test.function)
        truth = [static_truth(test.node, module, {**names, "self.training": mode}) for mode in (True, False)]
        if None in truth or truth[0] != truth[1]:
            return True
    return False


class _Test:
    """A condition that reads `training`, and the method that has it."""

    def __init__(self, node: ast.expr, function: ast.AST) -> None:
        self.node, self.function = node, function


@cache
def _tests_of(kind: Any) -> tuple[_Test | None, ...]:
    """The conditions of a class that read `training`; None for a method whose source is not known."""
    found: list[_Test | None] = []
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "torch" or base is object:
            continue
        for item in vars(base).values():
            function = inspect.unwrap(item) if callable(item) else None
            if isinstance(function, FunctionType) and "training" in function.__code__.co_names:
                found += _tests_in(function)
    return tuple(found)


def _tests_in(function: FunctionType) -> Iterator[_Test | None]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        yield None
        return
    for node in ast.walk(tree):
        is_choice = isinstance(node, ast.IfExp) and not (_is_number(node.body) and _is_number(node.orelse))
        if (is_choice or isinstance(node, ast.If | ast.While)) and _reads_training(node.test, tree):  # type: ignore[attr-defined]
            yield _Test(node.test, tree)  # type: ignore[attr-defined]


def _is_number(node: ast.expr) -> bool:
    """Whether an expression is a constant or an attribute, as the probability of a dropout."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Constant | ast.Name)


def _reads_training(test: ast.expr, tree: ast.AST) -> bool:
    names = _aliases(tree)
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "training")
        or (isinstance(node, ast.Name) and node.id in names)
        for node in ast.walk(test)
    )


def _aliases(tree: ast.AST) -> Mapping[str, None]:
    """Local names that are assigned something computed from `training`: what they are is not known."""
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(part, ast.Attribute) and part.attr == "training" for part in ast.walk(node.value)
        ):
            found |= {target.id: None for target in node.targets if isinstance(target, ast.Name)}
    return found
