"""Models of transformers, built from a class or a configuration, without weights, hub or remote code."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.regular_files import open_regular_file
from planc.torch.models.default_inputs import default_inputs
from planc.torch.models.example_inputs import meta_tensor
from planc.torch.models.exception_text import exception_line
from planc.torch.models.kernels import KERNEL_SETTINGS, choose_kernels
from planc.torch.models.missing_settings import fill_missing_settings
from planc.torch.models.model_class import find_model_class
from planc.torch.models.model_reference import ModelReference, parse_setting, raise_unknown_setting

MAX_CONFIG_BYTES = 4 << 20
_DROPPED = ("quantization_config", *KERNEL_SETTINGS, "torch_dtype", "dtype")
"""Settings of a file that choose kernels or load something; a plan sets the dtype."""


def build_transformers_model(
    reference: ModelReference, source: Source
) -> tuple[nn.Module, dict[str, Any], dict[str, int | bool]]:
    """A model on the meta device, the keywords of its example call, and the facts of its configuration.

    Raises:
        CaptureError: there is no such class or setting, or the class cannot be built.
    """
    model_class, config = class_and_config(reference, source)
    model, keywords = build_on_device(model_class, config, "meta", source)
    return model, keywords, config_facts(config)


def build_on_device(
    model_class: Any, config: Any, device: str, source: Source
) -> tuple[nn.Module, dict[str, Any]]:
    """A model on a device, and the keywords of its example call.

    Raises:
        CaptureError: the class cannot be built from this configuration.
    """

    model = build_module(model_class, config, device, source)

    def build_copy() -> nn.Module:
        return build_module(model_class, copy.deepcopy(config), "meta", source)

    return model, example_keywords(model, config, build_copy)


def build_module(model_class: Any, config: Any, device: str, source: Source) -> nn.Module:
    """A model on a device, without inputs.

    Raises:
        CaptureError: the class cannot be built from this configuration.
    """

    def build() -> Any:
        with torch.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model_class(config)

    model: nn.Module = _build(build, model_class, source)
    return model


def example_keywords(model: nn.Module, config: Any, build: Callable[[], nn.Module]) -> dict[str, Any]:
    """The keywords of a model's example call, on the meta device.

    Args:
        model: the model.
        config: its configuration.
        build: makes a copy of it on the meta device, to try calls with.
    """
    infos = default_inputs(model, config, build)
    keywords: dict[str, Any] = {name: meta_tensor(info) for name, info in infos.items()}
    if "use_cache" in inspect.signature(model.forward).parameters:
        keywords["use_cache"] = False
    return keywords


def class_and_config(reference: ModelReference, source: Source) -> tuple[Any, Any]:
    """The class of a model and its configuration.

    Raises:
        CaptureError: there is no such class or setting.
    """
    if reference.kind == "config":
        model_class, values = _read_model_config(reference, source)
    else:
        model_class, values = find_model_class(reference.name, source), {}
    config = _build_config(model_class, values, source)
    settings = {name: text for name, text in reference.settings.items() if name not in KERNEL_SETTINGS}
    if settings:
        values = _apply_settings(values, config, settings, source)
        config = _build_config(model_class, values, source)
    kernels = {name: text for name, text in reference.settings.items() if name in KERNEL_SETTINGS}
    choose_kernels(config, kernels, source)
    if reference.kind == "class":
        fill_missing_settings(
            model_class, config, lambda: build_module(model_class, copy.deepcopy(config), "meta", source)
        )
    return model_class, config


# ---- configurations --------------------------------------------------------------------------


def read_config_json(path: str, source: Source) -> dict[str, Any]:
    """The JSON object of a configuration file.

    Raises:
        CaptureError: there is no such file, or it does not hold an object.
    """
    label = word_label(source, path)
    try:
        with open_regular_file(path) as file:
            data = json.loads(file.read(MAX_CONFIG_BYTES + 1)[:MAX_CONFIG_BYTES].decode("utf-8"))
    except OSError as bad:
        raise_capture_error("G803", label, f"{path}: {(bad.strerror or str(bad)).lower()}")
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise_capture_error("G803", label, f"{path} is not a configuration", "needed: a JSON object")
    return dict(data)


def _read_model_config(reference: ModelReference, source: Source) -> tuple[Any, dict[str, Any]]:
    """The class that a configuration file names, and the values of the configuration."""
    data = read_config_json(reference.name, source)
    label = word_label(source, reference.name)
    if "auto_map" in data:
        raise_capture_error(
            "G803",
            label,
            "this configuration asks to run its own code",
            "note: 'auto_map' names Python files of a hub; planc never runs them",
            "help: write a factory that builds the model, and capture file.py:factory",
        )
    names = data.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise_capture_error(
            "G803",
            label,
            "this configuration does not name a class",
            'needed: "architectures": ["LlamaForCausalLM"]',
        )
    # The command line does not contain the class: a diagnostic shows the file that names it.
    named_by = Source(reference.name, names[0]) if names[0].isidentifier() else source
    values = {k: v for k, v in data.items() if k not in _DROPPED and not k.startswith("_")}
    return find_model_class(names[0], named_by), values


def _apply_settings(
    values: Mapping[str, Any], config: Any, settings: Mapping[str, str], source: Source
) -> dict[str, Any]:
    """The values that a configuration is built from, with the settings of the query.

    Only values that a file or the query names: a configuration computes some of its numbers from others.
    """
    changed = copy.deepcopy(dict(values))
    for key, text in settings.items():
        *path, last = key.split(".")
        inner, section = changed, config
        for name in path:
            section = getattr(section, name, None)
            if not hasattr(section, "to_dict"):
                sections = [k for k, v in vars(config).items() if hasattr(v, "to_dict")]
                raise_unknown_setting(source, key, sections, type(config).__name__)
            inner = inner.setdefault(name, {})
        known = [k for k in section.to_dict() if not k.startswith("_")]
        aliases = getattr(section, "attribute_map", None) or {}
        if last not in known and last not in aliases and not _has_hidden_setting(section, last):
            raise_unknown_setting(source, key, [*known, *aliases], type(section).__name__)
        inner.pop(aliases.get(last, last), None)
        inner[last] = parse_setting(source, key, text, getattr(section, last, None))
        if last == "num_hidden_layers" and "layer_types" not in settings:
            inner.pop("layer_types", None)
    return changed


def _has_hidden_setting(config: Any, name: str) -> bool:
    """Whether a configuration has a setting that it does not list: one that sets others, as `num_labels`,
    or one that the model's code asks for with a default, as `head_dim`."""
    if getattr(getattr(type(config), name, None), "fset", None) is not None:
        return True
    module = inspect.getmodule(type(config))
    folder, file_name = os.path.split(getattr(module, "__file__", None) or "")
    modeling_file = os.path.join(folder, file_name.replace("configuration_", "modeling_"))
    with contextlib.suppress(OSError), open(modeling_file, encoding="utf-8") as file:
        return f'config, "{name}"' in file.read()
    return False


def _build_config(model_class: Any, values: Mapping[str, Any], source: Source) -> Any:
    return _build(lambda: model_class.config_class.from_dict(dict(values)), model_class, source)


def _build(build: Callable[[], Any], model_class: type, source: Source) -> Any:
    try:
        return build()
    except Exception as raised:  # noqa: BLE001  # a configuration may fail in any way
        return raise_capture_error(
            "G803",
            word_label(source),
            f"{model_class.__name__} cannot be built from this configuration",
            f"raised: {exception_line(raised)}",
        )


# ---- facts -----------------------------------------------------------------------------------


def is_transformers_config(config: Any) -> bool:
    """Whether an object is a configuration of transformers."""
    return hasattr(config, "to_dict") and hasattr(config, "attribute_map")


def config_facts(config: Any) -> dict[str, int | bool]:
    """The integers and booleans of a configuration, by every name that it has for them."""
    facts: dict[str, int | bool] = {}
    for section in (config, getattr(config, "text_config", None)):
        if section is not None:
            for name, value in (*_own_facts(section), *_aliased_facts(section)):
                facts.setdefault(name, value)
    width, heads = facts.get("hidden_size"), facts.get("num_attention_heads")
    if type(width) is int and type(heads) is int and heads and width % heads == 0:
        facts.setdefault("head_dim", width // heads)
    return dict(sorted(facts.items()))


def _own_facts(config: Any) -> Iterator[tuple[str, int | bool]]:
    for name, value in vars(config).items():
        if type(value) in (int, bool) and not name.startswith("_"):
            yield name, value


def _aliased_facts(config: Any) -> Iterator[tuple[str, int | bool]]:
    aliases: Mapping[str, str] = getattr(config, "attribute_map", None) or {}
    for alias, name in aliases.items():
        value: Any = getattr(config, name, None)
        if type(value) in (int, bool):
            yield alias, value
