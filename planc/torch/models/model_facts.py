"""The facts of a model: the whole numbers and truths of its settings, which conditions of a plan may name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

from torch import nn

from planc.graph.codec import MAX_NUMBER
from planc.torch.models.hugging_face import config_facts, is_transformers_config
from planc.torch.models.record_fields import SETTINGS_NAMES, is_record, record_fields, settings_of

Facts = dict[str, int | bool]
_MAX_DEPTH = 3
"""Levels of settings within settings that are read."""
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def model_facts(model: nn.Module) -> Facts:
    """The facts of a model, by name.

    A configuration of transformers gives all. Otherwise the nearest one counts: the settings of the model itself, those of
    the nearest modules below it that have any, then the model's own numbers. A name that two holders at the same
    distance give different values is no fact.
    """
    config = settings_of(model, "config")
    if is_transformers_config(config):
        return config_facts(config)
    found = _settings_facts([model])
    for level in _levels_below(model):
        below = _settings_facts(level)
        if below:
            found = below | found
            break
    own = {name: value for name, value in vars(model).items() if name not in _OF_EVERY_MODULE}
    return dict(sorted((_agreed([_numbers(own)]) | found).items()))


def _levels_below(model: nn.Module) -> Iterator[list[nn.Module]]:
    """The modules below a model, nearest first, each once."""
    level, seen = [model], {id(model)}
    while True:
        level = [child for module in level for child in module.children() if id(child) not in seen]
        level = list({id(module): module for module in level}.values())
        seen.update(map(id, level))
        if not level:
            return
        yield level


def _settings_facts(modules: Iterable[nn.Module]) -> Facts:
    """The facts in the settings of some modules that are equally near. An object that several share is read once."""
    found: Facts = {}
    for name in reversed(SETTINGS_NAMES):
        holders = {
            id(holder): holder for module in modules if (holder := settings_of(module, name)) is not None
        }
        found |= _agreed([_facts_of(holder) for holder in holders.values()])
    return found


def _facts_of(holder: Any) -> Facts:
    """The facts that one object holds; what its sections hold comes after its own."""
    if is_transformers_config(holder):
        return config_facts(holder)
    found: Facts = {}
    sections, seen = [holder], set[int]()
    for _ in range(_MAX_DEPTH):
        sections = [section for section in sections if id(section) not in seen]
        seen.update(map(id, sections))
        fields = [known for section in sections if (known := record_fields(section)) is not None]
        found = _agreed([_numbers(known) for known in fields]) | found
        sections = [value for known in fields for name, value in known.items() if _is_section(name, value)]
    return found


def _is_section(name: str, value: Any) -> bool:
    """Whether a field holds more settings, and not a tokenizer or the like."""
    is_named = name.endswith(SETTINGS_NAMES) and not isinstance(value, type) and not callable(value)
    return is_named or isinstance(value, Mapping) or is_record(value)


def _numbers(fields: Mapping[str, Any]) -> Facts:
    found: Facts = {}
    for name, value in fields.items():
        if name.startswith("_") or not name.isidentifier():
            continue
        if isinstance(value, bool):
            found[name] = value
        elif isinstance(value, Integral) and abs(int(value)) < MAX_NUMBER:
            found[name] = int(value)
    return found


def _agreed(each: list[Facts]) -> Facts:
    """The facts of several holders, without names on which they do not agree."""
    values: dict[str, list[int | bool]] = {}
    for facts in each:
        for name, value in facts.items():
            values.setdefault(name, []).append(value)
    return {name: same[0] for name, same in values.items() if same.count(same[0]) == len(same)}
