"""Models that a function of the user builds."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from planc.closest import closest_name
from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.regular_files import check_regular_file
from planc.torch.compat import without_compiler
from planc.torch.models.example_call import example_call
from planc.torch.models.exception_text import exception_location, exception_notes
from planc.torch.models.kernels import use_traceable_kernels
from planc.torch.models.model_reference import ModelReference


def build_from_factory(
    reference: ModelReference, source: Source, device: Literal["meta", "cpu"] = "meta"
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """A model, and the arguments and keywords of its example inputs.

    This runs the user's code: the user typed its name.

    Args:
        reference: a reference of kind "factory".
        source: the words that name it.
        device: where the model is built; on "meta" its weights take no memory, unless the code needs their values.

    Raises:
        CaptureError: there is no such function, it raises, or it does not return a model.
    """
    function = _find_function(reference, source)
    built = _call_factory(function, reference, source, device)
    if isinstance(built, nn.Module):
        model = without_compiler(built)
        use_traceable_kernels(model)
        return model, *(example_call(model, None) or ((), {}))
    if isinstance(built, tuple) and len(built) == 2 and isinstance(built[0], nn.Module):
        model, inputs = without_compiler(built[0]), built[1]
        use_traceable_kernels(model)
        if isinstance(inputs, Tensor):
            inputs = (inputs,)
        if isinstance(inputs, tuple | list | Mapping):
            return model, *(example_call(model, inputs) or ((), {}))
    return raise_capture_error(
        "G802",
        word_label(source, reference.factory),
        f"'{reference.factory}' does not return a model",
        f"got: {_type_text(built)}",
        "needed: a torch.nn.Module, or a pair of one and its example inputs: a tensor, a tuple or a dictionary",
    )


def _type_text(built: Any) -> str:
    if isinstance(built, tuple):
        return f"a tuple of {', '.join(type(part).__name__ for part in built[:4])}"
    return type(built).__name__


def _find_function(reference: ModelReference, source: Source) -> Callable[[], Any]:
    found: Any = _import_module(reference, source)
    for name in reference.factory.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise_capture_error(
                "G803",
                word_label(source, name),
                f"{reference.name} has no '{name}'",
                suggestion=closest_name(name, dir(found)),
            )
        except (Exception, SystemExit) as raised:  # noqa: BLE001  # a module may import its names late
            raise_capture_error(
                "G802", word_label(source, name), f"'{name}' cannot be imported", *exception_notes(raised)
            )
    if not callable(found):
        raise_capture_error(
            "G803",
            word_label(source, reference.factory),
            f"'{reference.factory}' of {reference.name} is not callable",
        )
    function: Callable[[], Any] = found
    return function


def _import_module(reference: ModelReference, source: Source) -> Any:
    name = reference.name
    label = word_label(source, name)
    is_file = name.endswith(".py") or os.sep in name
    if is_file:
        try:
            check_regular_file(name)
        except OSError as bad:
            raise_capture_error("G803", label, f"{name}: {(bad.strerror or str(bad)).lower()}")
        except ValueError:
            raise_capture_error("G803", label, f"{name!r} is not a valid file name")
    try:
        with _importable_folders(name if is_file else None):
            return _import_file(name) if is_file else importlib.import_module(name)
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # the user's code may fail in any way
        notes = exception_notes(raised)
        missing = raised.name if isinstance(raised, ModuleNotFoundError) else None
        is_named = not is_file and missing and (name == missing or name.startswith(f"{missing}."))
        if is_named and exception_location(raised) is None:  # no code of the user asks for it
            raise_capture_error("G803", label, f"there is no module '{missing}'")
        if isinstance(raised, ImportError) and "no known parent package" in str(raised):
            notes.append(
                "help: a file in a package is named as PACKAGE.MODULE:FACTORY, from the folder of the package"
            )
        return raise_capture_error("G802", label, f"{name} cannot be imported", *notes)


@contextlib.contextmanager
def _importable_folders(path: str | None) -> Iterator[None]:
    """Let modules of the current folder be imported, as `python -m` does, and those beside a file, as `python FILE` does."""
    folders = [os.getcwd()]
    if path is not None:
        folders.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(ValueError):
                sys.path.remove(folder)


def _import_file(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
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


def _call_factory(function: Callable[[], Any], reference: ModelReference, source: Source, device: str) -> Any:
    """Call the factory on the meta device; if it fails there, without a device."""
    if device == "meta":
        with contextlib.suppress(Exception, SystemExit), torch.device("meta"):
            return function()
    try:
        return function()
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # the user's code may fail in any way
        return raise_capture_error(
            "G802",
            word_label(source, reference.factory),
            f"'{reference.factory}' raises",
            *exception_notes(raised),
        )
