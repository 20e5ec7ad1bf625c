"""Classes of transformers, by their names."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from planc.closest import closest_name
from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.torch.models.exception_text import exception_line, exception_location


def import_transformers() -> Any:
    """The module transformers, offline and without warnings."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    return transformers


def find_model_class(name: str, source: Source) -> Any:
    """The class of transformers with this name.

    Raises:
        CaptureError: there is none, it is not a model, or its module cannot be imported.
    """
    label = word_label(source, name)
    try:
        transformers = import_transformers()
    except Exception as raised:  # noqa: BLE001  # an import may fail in any way
        raise_capture_error("G802", label, "transformers cannot be imported", *_import_notes(raised))
    if name not in dir(transformers):
        names = [n for n in dir(transformers) if "For" in n or n.endswith("Model")]
        raise_capture_error(
            "G803", label, f"transformers has no class '{name}'", suggestion=closest_name(name, names)
        )
    try:
        found: Any = getattr(transformers, name)
        if getattr(found, "is_dummy", False):
            getattr(found, "config_class", None)  # raises an ImportError that says what is not installed
        base: Any = transformers.PreTrainedModel
    except Exception as raised:  # noqa: BLE001  # an import may fail in any way
        return raise_capture_error("G802", label, f"'{name}' cannot be imported", *_import_notes(raised))
    if (
        isinstance(found, type)
        and issubclass(found, base)
        and getattr(found, "config_class", None) is not None
    ):
        return found
    return raise_capture_error(
        "G803",
        label,
        f"'{name}' of transformers is not a model class with a configuration",
        "needed: a class such as LlamaForCausalLM",
    )


def _import_notes(raised: BaseException) -> list[str]:
    """What an import raised: the first cause, which the others only pass on."""
    causes = [raised]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    location = exception_location(causes[-1])
    return [f"raised: {exception_line(causes[-1])}", *([f"where: {location}"] if location else [])]


def is_for_multiple_choice(model_class: type) -> bool:
    """Whether transformers lists a class for the choice between several texts."""
    return model_class.__name__ in _task_names("MULTIPLE_CHOICE")


def is_for_sequence_classification(model_class: type) -> bool:
    """Whether transformers lists a class for the classification of whole texts."""
    return model_class.__name__ in _task_names("SEQUENCE_CLASSIFICATION")


def _task_names(task: str) -> Collection[str]:
    if "transformers" not in sys.modules:
        return ()
    from transformers.models.auto import modeling_auto

    names: Mapping[str, str] = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {})
    return names.values()
