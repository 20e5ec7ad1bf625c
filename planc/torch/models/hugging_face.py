"""Models of transformers: from a class or a configuration, without weights, hub or remote code."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.torch.models import compat
from planc.torch.models.default_inputs import default_inputs
from planc.torch.models.example_inputs import meta_tensor
from planc.torch.models.exception_text import closest_name, exception_line
from planc.torch.models.model_reference import ModelReference, parse_setting, raise_unknown_setting

MAX_CONFIG_BYTES = 4 << 20
_DROPPED = ("quantization_config", "attn_implementation", "experts_implementation", "torch_dtype", "dtype")
"""Settings of a file that would choose kernels or load something; a plan says the dtype."""


def import_transformers() -> Any:
    """transformers, kept from the network and quiet."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    return transformers


def build_transformers_model(
    reference: ModelReference, source: Source
) -> tuple[nn.Module, dict[str, Any], dict[str, int | bool]]:
    """A model on the meta device, what it is called with, and the facts of its configuration.

    Raises:
        CaptureFault: there is no such class, no such setting, or the class cannot be built.
    """
    kind, config = class_and_config(reference, source)
    model, inputs = build_on_device(kind, config, "meta", source)
    return model, inputs, config_facts(config)


def build_on_device(
    model_class: Any, config: Any, device: str, source: Source
) -> tuple[nn.Module, dict[str, Any]]:
    """A model on a device, and what it is called with.

    Raises:
        CaptureFault: the class cannot be built of this configuration.
    """
    model = _model(model_class, config, source, device)
    inputs = example_inputs_for(model, config)
    if "use_cache" in inspect.signature(model.forward).parameters:
        inputs["use_cache"] = False
    return model, inputs


def class_and_config(reference: ModelReference, source: Source) -> tuple[Any, Any]:
    """The class of a model and its configuration.

    Raises:
        CaptureFault: there is no such class, or no such setting.
    """
    kind, given = (
        _from_file(reference, source) if reference.kind == "config" else (_class(reference.name, source), {})
    )
    config = _configured(kind, given, source)
    if reference.settings:
        config = _configured(kind, _with_settings(given, config, reference, source), source)
    use_traceable_kernels(config)
    return kind, config


def example_inputs_for(model: Any, config: Any) -> dict[str, Any]:
    """What a model is called with where nobody says."""
    takes = set(inspect.signature(model.forward).parameters)
    infos = default_inputs(config, str(model.main_input_name), takes)
    return {name: meta_tensor(info) for name, info in infos.items()}


def _class(name: str, source: Source) -> Any:
    transformers = import_transformers()
    kind: Any = None
    with contextlib.suppress(AttributeError, ImportError):
        kind = getattr(transformers, name)
    if _is_model(kind, transformers):
        return kind
    names = [n for n in dir(transformers) if "For" in n or n.endswith("Model")]
    if kind is None:
        raise_capture_error(
            "G803",
            word_label(source, name),
            f"transformers has no class '{name}'",
            suggestion=closest_name(name, names),
        )
    return raise_capture_error(
        "G803",
        word_label(source, name),
        f"'{name}' of transformers is no class of models with a configuration",
        "needed: a class as LlamaForCausalLM",
    )


def _is_model(kind: Any, transformers: Any) -> bool:
    return (
        isinstance(kind, type)
        and issubclass(kind, transformers.PreTrainedModel)
        and getattr(kind, "config_class", None) is not None
    )


def _from_file(reference: ModelReference, source: Source) -> tuple[Any, dict[str, Any]]:
    data = read_config_json(reference.name, source)
    if "auto_map" in data:
        raise_capture_error("G803", word_label(source, reference.name), "this configuration asks for code of its own",
               "note: 'auto_map' names Python files of a hub; planc never runs them",
               "help: write a factory that builds the model, and capture file.py:factory")  # fmt: skip
    names = data.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise_capture_error("G803", word_label(source, reference.name), "this configuration names no class",
               'needed: "architectures": ["LlamaForCausalLM"]')  # fmt: skip
    kind = _class_of_file(names[0], reference.name, source)
    kept = {k: v for k, v in data.items() if k not in _DROPPED and not k.startswith("_")}
    return kind, kept


def _configured(kind: Any, given: Mapping[str, Any], source: Source) -> Any:
    return _made(lambda: kind.config_class.from_dict(dict(given)), kind, source)


def _class_of_file(name: str, path: str, source: Source) -> Any:
    # A name that is not written on the command line is shown with the file that says it.
    return _class(name, Source(path, name) if name.isidentifier() else source)


def read_config_json(path: str, source: Source) -> dict[str, Any]:
    """The JSON of a configuration.

    Raises:
        CaptureFault: there is no such file, or it holds no object.
    """
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read(MAX_CONFIG_BYTES + 1)[:MAX_CONFIG_BYTES].decode("utf-8"))
    except OSError as bad:
        raise_capture_error("G803", word_label(source, path), f"{path}: {(bad.strerror or str(bad)).lower()}")
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise_capture_error(
            "G803", word_label(source, path), f"{path} is no configuration", "needed: a JSON object"
        )
    return dict(data)


def _is_read(config: Any, name: str) -> bool:
    """Whether a name that a configuration does not list means something: it sets others, as
    `num_labels` does, or the model's code asks whether it is there, as for `head_dim`."""
    if getattr(getattr(type(config), name, None), "fset", None) is not None:
        return True
    module = inspect.getmodule(type(config))
    path = getattr(module, "__file__", None) or ""
    beside = os.path.join(
        os.path.dirname(path), os.path.basename(path).replace("configuration_", "modeling_")
    )
    with contextlib.suppress(OSError), open(beside, encoding="utf-8") as file:
        return f'config, "{name}"' in file.read()
    return False


def _with_settings(
    given: Mapping[str, Any], config: Any, reference: ModelReference, source: Source
) -> dict[str, Any]:
    """What a configuration is made of, with what the query sets. Only what was given, as
    a configuration computes some of its numbers from others."""
    made = copy.deepcopy(dict(given))
    for key, text in reference.settings.items():
        *path, last = key.split(".")
        inner, of = made, config
        for name in path:
            of = getattr(of, name, None)
            if not hasattr(of, "to_dict"):
                parts = [k for k, v in vars(config).items() if hasattr(v, "to_dict")]
                raise_unknown_setting(source, key, parts, type(config).__name__)
            inner = inner.setdefault(name, {})
        known = [k for k in of.to_dict() if not k.startswith("_")]
        aliases = getattr(of, "attribute_map", None) or {}
        if last not in known and last not in aliases and not _is_read(of, last):
            raise_unknown_setting(source, key, [*known, *aliases], type(of).__name__)
        inner.pop(aliases.get(last, last), None)
        inner[last] = parse_setting(source, key, text, getattr(of, last, None))
        if last == "num_hidden_layers" and "layer_types" not in reference.settings:
            inner.pop("layer_types", None)
    return made


def use_traceable_kernels(config: Any) -> None:
    """Attention and experts in a way that fake tensors can follow."""
    compat.use_attention(config, "sdpa")
    with contextlib.suppress(AttributeError, ValueError):
        compat.use_experts(config, "batched_mm")


def _model(kind: Any, config: Any, source: Source, device: str) -> nn.Module:
    def make() -> Any:
        with torch.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(config)

    made: nn.Module = _made(make, kind, source)
    return made


def _made(make: Any, kind: type, source: Source) -> Any:
    try:
        return make()
    except Exception as raised:  # noqa: BLE001  # a configuration may fail in any way
        return raise_capture_error("G803", word_label(source), f"{kind.__name__} cannot be built of this configuration",
                      f"raised: {exception_line(raised)}")  # fmt: skip


def config_facts(config: Any) -> dict[str, int | bool]:
    """The whole numbers and truths of a configuration, by every name it has for them."""
    found: dict[str, int | bool] = {}
    for one in (config, getattr(config, "text_config", None)):
        if one is not None:
            for name, value in (*_plain(one), *_aliased(one)):
                found.setdefault(name, value)
    width, heads = found.get("hidden_size"), found.get("num_attention_heads")
    if type(width) is int and type(heads) is int and heads and width % heads == 0:
        found.setdefault("head_dim", width // heads)
    return dict(sorted(found.items()))


def _plain(config: Any) -> Iterator[tuple[str, int | bool]]:
    for name, value in vars(config).items():
        if type(value) in (int, bool) and not name.startswith("_"):
            yield name, value


def _aliased(config: Any) -> Iterator[tuple[str, int | bool]]:
    aliases: Mapping[str, str] = getattr(config, "attribute_map", None) or {}
    for alias, name in aliases.items():
        value: Any = getattr(config, name, None)
        if type(value) in (int, bool):
            yield alias, value
