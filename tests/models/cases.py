"""What the table of models has a line for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from itertools import zip_longest
from typing import Any

from planc.ir.record import Record

SOURCES = ("torch", "transformers", "torchvision", "timm")
_FIRST = ("ForCausalLM", "ForConditionalGeneration", "ForImageClassification", "ForMaskedLM", "Model")
"""Endings of the classes of a family that are asked first: a table that is cut short has a class of each family."""


class Case(Record):
    """A line of the table."""

    source: str
    name: str

    @property
    def reference(self) -> str:
        """What `planc capture` takes: the model in its full size."""
        if self.source == "transformers":
            return f"hf:{self.name}"
        if self.source == "torch":
            return f"tests.models.torch_layers:{self.name.replace(' ', '_')}"
        return f"tests.models.image_models:{self.source}_{self.name.replace('/', '__')}"


def all_cases(sources: tuple[str, ...] = SOURCES) -> tuple[list[Case], list[str]]:
    """The lines of the table in the order in which they are asked for, and why a source has none."""
    from tests.models import image_models, torch_layers

    names = {
        "torch": lambda: list(torch_layers.LAYERS),
        "transformers": transformers_names,
        "torchvision": lambda: list(image_models.torchvision_names()),
        "timm": lambda: list(image_models.timm_names()),
    }
    cases, skipped = [], []
    for source in sources:
        try:
            cases.append([Case(source, name) for name in names[source]()])
        except ImportError as missing:
            skipped.append(f"{source}: {missing}")
    return [case for turn in zip_longest(*cases) for case in turn if case is not None], skipped


def chosen_cases(cases: list[Case], patterns: list[str]) -> list[Case]:
    """Those whose names match a pattern of the shell."""
    return [case for case in cases if any(fnmatch(case.name, pattern) for pattern in patterns)]


def transformers_names() -> list[str]:
    """All models of transformers: one class of each family, then a second one of each, ..."""
    families: dict[str, list[str]] = defaultdict(list)
    for name, folder in _model_classes():
        families[folder].append(name)
    for names in families.values():
        names.sort(key=lambda name: (_rank(name), name))
    return [
        name for turn in zip_longest(*(families[key] for key in sorted(families))) for name in turn if name
    ]


def _rank(name: str) -> int:
    return next((rank for rank, ending in enumerate(_FIRST) if name.endswith(ending)), len(_FIRST))


def _model_classes() -> Iterator[tuple[str, str]]:
    """The classes of models that transformers exports, with the folder of each."""
    from planc.torch.models.model_class import import_transformers
    from tests.models.image_models import load_torchvision

    with suppress(ImportError):  # transformers imports it where it is installed
        load_torchvision()
    transformers = import_transformers()
    base: Any = transformers.PreTrainedModel
    for name in dir(transformers):
        if name.startswith(("_", "Auto")) or name.endswith("PreTrainedModel") or not name[0].isupper():
            continue
        try:
            found: Any = getattr(transformers, name)
        except Exception:  # noqa: BLE001  # needs a library that is not there
            continue
        if not isinstance(found, type) or not issubclass(found, base) or found.__name__ != name:
            continue
        if getattr(found, "config_class", None) is not None:
            match = re.match(r"transformers\.models\.(\w+)", found.__module__)
            yield name, match[1] if match else ""
