"""Models that a function of the user makes."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.torch.models.exception_text import closest_name, exception_line, exception_location
from planc.torch.models.model_reference import ModelReference


def build_from_factory(
    reference: ModelReference, source: Source, device: Literal["meta", "cpu"] = "meta"
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """A model, and what it is called with. Runs the user's code, as the user typed its name.

    Args:
        device: where it is made; on "meta", without memory for weights where the code can do that.

    Raises:
        CaptureFault: there is no such function, it raises, or it makes no model.
    """
    function = _function(reference, source)
    made = _called(function, reference, source, device)
    if isinstance(made, nn.Module):
        return made, (), {}
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        model, inputs = made
        if isinstance(inputs, Tensor):
            return model, (inputs,), {}
        if isinstance(inputs, tuple | list):
            return model, tuple(inputs), {}
        if isinstance(inputs, Mapping):
            return model, (), {str(name): value for name, value in inputs.items()}
    return raise_capture_error(
        "G802",
        word_label(source, reference.factory),
        f"'{reference.factory}' makes no model",
        f"got: {_described(made)}",
        "needed: a torch.nn.Module, or a pair of one and its example inputs: a tensor, a tuple or a dictionary",
    )


def _described(made: Any) -> str:
    if isinstance(made, tuple):
        return f"a tuple of {', '.join(type(part).__name__ for part in made[:4])}"
    return type(made).__name__


def _function(reference: ModelReference, source: Source) -> Callable[[], Any]:
    module = _module(reference, source)
    found: Any = module
    for name in reference.factory.split("."):
        if not hasattr(found, name):
            raise_capture_error(
                "G803",
                word_label(source, name),
                f"{reference.name} has no '{name}'",
                suggestion=closest_name(name, dir(found)),
            )
        found = getattr(found, name)
    if not callable(found):
        raise_capture_error(
            "G803",
            word_label(source, reference.factory),
            f"'{reference.factory}' of {reference.name} cannot be called",
        )
    function: Callable[[], Any] = found
    return function


def _module(reference: ModelReference, source: Source) -> Any:
    name = reference.name
    is_file = name.endswith(".py") or os.sep in name
    if is_file and not os.path.isfile(name):
        raise_capture_error("G803", word_label(source, name), f"{name}: no such file")
    try:
        with _found_from_here():
            return _of_file(name) if is_file else importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name and (name == missing.name or name.startswith(f"{missing.name}.")):
            raise_capture_error("G803", word_label(source, name), f"there is no module '{missing.name}'")
        return _refuse_code(name, missing, source)
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # the user's code may fail in any way
        return _refuse_code(name, raised, source)


def _refuse_code(name: str, raised: BaseException, source: Source) -> Any:
    place = exception_location(raised)
    notes = [f"raised: {exception_line(raised)}", *([f"where: {place}"] if place else [])]
    return raise_capture_error("G802", word_label(source, name), f"{name} raises when it is imported", *notes)


@contextlib.contextmanager
def _found_from_here() -> Any:
    """Let modules of the current folder be found, as `python -m` does."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(os.getcwd())


def _of_file(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module


def _called(function: Callable[[], Any], reference: ModelReference, source: Source, device: str) -> Any:
    """Call the factory without memory for weights; where it cannot work so, with it."""
    if device == "meta":
        with contextlib.suppress(Exception, SystemExit), torch.device("meta"):
            return function()  # code that looks at numbers is tried again below
    try:
        return function()
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # the user's code may fail in any way
        place = exception_location(raised)
        notes = [f"raised: {exception_line(raised)}", *([f"where: {place}"] if place else [])]
        return raise_capture_error(
            "G802", word_label(source, reference.factory), f"'{reference.factory}' raises", *notes
        )
