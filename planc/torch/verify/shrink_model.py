"""A smaller model of the same kind, as a reference: fewer blocks, smaller widths.

What a mesh divides stays divided, and what it does not, does not: a plan that is right for the one model is
right for the other. Numbers are told by the names that configurations of transformers have in common.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from planc.graph.capture_error import CaptureError, raise_capture_error, word_label
from planc.graph.graph_cache import load_graph, reference_from_folder
from planc.graph.graph_writer import GRAPH_SUFFIXES
from planc.ir.record import Record
from planc.ir.source import Source
from planc.torch.models import hugging_face
from planc.torch.models.model_reference import ModelReference, parse_reference
from planc.torch.verify.divisibility import divisibility_changes
from planc.torch.verify.layer_kinds import layer_kinds, layers_needed
from planc.torch.verify.shrink_widths import (
    ConfigSizes,
    config_value,
    integer_settings,
    nested_configs,
    shrink_widths,
)

_DEPTH_SETTINGS = frozenset({
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "depth",
})  # fmt: skip
_CHANGE_GROUPS = ("depth", "widths", "experts", "vocabulary", "positions")
"""Groups of changes; where a model cannot be made smaller, the last is left out first."""

_MAX_LISTED = 3


class ShrunkModel(Record):
    """A model to be run in the place of another one."""

    reference: str
    changes: tuple[str, ...] = ()
    """What is smaller, as `num_hidden_layers 32 -> 2`."""
    notes: tuple[str, ...] = ()
    """What could not be made smaller, and why."""


def resolve_reference(reference: str) -> str:
    """What a model is built from: a graph, a file or the name of a shipped one, stands for what it was captured
    from. A configuration is looked for beside the graph, which knows no folders.

    Raises:
        planc.graph.capture_error.CaptureFault: there is no such graph; it was captured from code, which a file may
            not name; or from a configuration that is not there, or is another one by now.
    """
    if ":" in reference and not reference.endswith(GRAPH_SUFFIXES):
        return reference
    graph = load_graph(reference)
    if not graph.model.startswith("hf:"):
        raise_capture_error("G803", word_label(Source("--model", reference)), f"{reference!r} was captured from code",
               f"got: {graph.model}", "needed: the code itself, --model FILE.py:FACTORY")  # fmt: skip
    model = reference_from_folder(graph.model, os.path.dirname(reference))
    source = Source("--model", model)
    parsed = parse_reference(source)
    if parsed.kind == "config":
        facts = hugging_face.config_facts(hugging_face.class_and_config(parsed, source)[1])
        other = [name for name, value in graph.facts.items() if facts.get(name, value) != value]
        if other:
            raise_capture_error("G803", word_label(source, parsed.name), f"{reference!r} was captured from another configuration",
                   f"got: {other[0]} {facts[other[0]]}", f"needed: {other[0]} {graph.facts[other[0]]}")  # fmt: skip
    return model


def shrink_model(reference: str, sizes: Mapping[str, int], *, keep_depth: bool = False) -> ShrunkModel:
    """A smaller model; a model that is no configuration of transformers is left as it is.

    Args:
        reference: what `planc capture` takes.
        sizes: of the axes whose ranks share dims of the model.
        keep_depth: leave every block in its place: a plan may name them by number.

    Raises:
        planc.graph.capture_error.CaptureFault: there is no such model.
    """
    source = Source("MODEL", reference)
    parsed = parse_reference(source)
    if parsed.kind == "factory":
        return ShrunkModel(reference, (), ("the factory's model is run as it is",))
    _, config = hugging_face.class_and_config(parsed, source)
    changes = shrink_widths(config, prod(sizes.values()))
    notes: list[str] = []
    if not keep_depth:
        changes["depth"] = _shrink_depths(parsed, config, changes, notes)
    found = _smallest_buildable(parsed, source, config, changes, notes)
    return ShrunkModel(
        found.reference, found.changes, (*found.notes, *_divisibility_notes(parsed, found, sizes))
    )


def _smallest_buildable(
    parsed: ModelReference, source: Source, config: Any, changes: dict[str, ConfigSizes], notes: list[str]
) -> ShrunkModel:
    """The smallest that can be built: without one of the groups of changes, or with one alone."""
    every = tuple(group for group in _CHANGE_GROUPS if changes.get(group))
    tried = [every, *(tuple(g for g in every if g != group) for group in reversed(every)), every[:1]]
    first = ""
    for groups in dict.fromkeys(tried):
        made = {name: size for group in groups for name, size in changes[group].items()}
        one = _with_settings(parsed, made)
        try:
            hugging_face.build_transformers_model(parse_reference(Source("MODEL", one)), Source("MODEL", one))
        except CaptureError as bad:
            first = first or (bad.diagnostic.notes or (bad.diagnostic.message,))[0]
            continue
        if left := [group for group in every if group not in groups]:
            notes.append(f"left as they are: {', '.join(left)} ({first})")
        return ShrunkModel(one, tuple(_change_lines(config, made)), tuple(notes))
    return ShrunkModel(source.text, (), (*notes, f"the model is run as it is ({first})"))


def _divisibility_notes(
    parsed: ModelReference, found: ShrunkModel, sizes: Mapping[str, int]
) -> Iterator[str]:
    """What a plan may be told of the small model that is not so of the full one."""
    if not found.changes:
        return
    small = _build_on_meta(parse_reference(Source("MODEL", found.reference)), {})
    try:
        full = _build_on_meta(parsed, {})
    except CaptureError:
        return
    if lines := divisibility_changes(full, small, prod(sizes.values())):
        more = f", and {len(lines) - _MAX_LISTED} more" if len(lines) > _MAX_LISTED else ""
        yield f"not shared as in the full model: {', '.join(lines[:_MAX_LISTED])}{more}"


def _with_settings(parsed: ModelReference, made: ConfigSizes) -> str:
    settings = {**parsed.settings, **{name: str(size) for name, size in made.items()}}
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    return f"hf:{parsed.name}?{query}" if query else f"hf:{parsed.name}"


def _change_lines(config: Any, made: ConfigSizes) -> Iterator[str]:
    for name, size in made.items():
        of = config
        for part in name.split("."):
            of = config_value(of, part)
        if of != size:
            yield f"{name} {of} -> {size}"


def _shrink_depths(
    parsed: ModelReference, config: Any, changes: Mapping[str, ConfigSizes], notes: list[str]
) -> ConfigSizes:
    """How many blocks are left: the first ones that hold one of each kind, two at least."""
    depths = {
        f"{prefix}{name}": value
        for prefix, part in nested_configs(config)
        for name, value in integer_settings(part).items()
        if name in _DEPTH_SETTINGS and value > 2
    }
    if not depths:
        return {}
    try:
        deep = _build_on_meta(
            parsed, {name: size for group in changes.values() for name, size in group.items()}
        )
    except CaptureError:
        try:
            deep = _build_on_meta(parsed, {})
        except CaptureError:
            return {}
    found = {name: max(2, layers_needed(deep, count)) for name, count in depths.items()}
    found = {name: size for name, size in found.items() if size < depths[name]}
    try:
        small = _build_on_meta(
            parsed, {**{n: s for group in changes.values() for n, s in group.items()}, **found}
        )
    except CaptureError:
        return found
    if _all_layer_kinds(small) != _all_layer_kinds(deep):
        notes.append("every block is run: a model with fewer of them has others")
        return {}
    return found


def _build_on_meta(parsed: ModelReference, sizes: ConfigSizes) -> Any:
    source = Source("MODEL", _with_settings(parsed, sizes))
    return hugging_face.build_transformers_model(parse_reference(source), source)[0]


def _all_layer_kinds(model: Any) -> frozenset[Any]:
    return frozenset(kind for kinds in layer_kinds(model) for kind in kinds)
