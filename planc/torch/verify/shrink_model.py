"""A smaller model of the same kind, to be run in place of the full one: fewer layers, smaller widths.

Dims that the ranks divide in the full model they divide in the small one, and no others, so a plan is right for
both or for neither. Sizes are recognized by the names that configurations of transformers have in common.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from math import prod
from typing import Any

from torch import Tensor

from planc.graph.capture_error import CaptureError, raise_capture_error, word_label
from planc.graph.load_graph import load_graph, reference_from_folder
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.source import Source
from planc.paths import GRAPH_SUFFIXES
from planc.torch.models import hugging_face
from planc.torch.models.config_sizes import config_value, nested_configs
from planc.torch.models.default_inputs import asks_for_values, call_on_meta
from planc.torch.models.model_reference import ModelReference, parse_reference
from planc.torch.verify.divisibility import divisibility_changes
from planc.torch.verify.layer_kinds import layer_kinds, layers_needed
from planc.torch.verify.shrink_widths import (
    WidthChanges,
    integer_settings,
    keeps_named_size,
    shrink_widths,
)

_DEPTH_SETTINGS = frozenset({
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "depth",
})  # fmt: skip
_CHANGE_GROUPS = ("depth", "widths", "experts", "vocabulary", "positions")
"""Groups of changes; where the small model cannot be built, the last group is left out first."""

_MAX_LISTED = 3


class ShrunkModel(Record):
    """A model to be run in place of another one."""

    reference: str
    changes: tuple[str, ...] = ()
    """What is smaller, as `num_hidden_layers 32 -> 2`."""
    notes: tuple[str, ...] = ()
    """What could not be made smaller, and why."""


def captured_inputs(reference: str) -> tuple[str, ...]:
    """The inputs that a graph was captured with, as far as its user has set them; none of what is no graph."""
    if ":" in reference and not reference.endswith(GRAPH_SUFFIXES):
        return ()
    return load_graph(reference).input_options


def resolve_reference(reference: str) -> str:
    """What a model is built from. A graph, a file or the name of a shipped one, stands for what it was captured
    from; a configuration file is looked for in the folder of the graph file.

    Args:
        reference: what `--model` takes.

    Raises:
        planc.graph.capture_error.CaptureError: there is no such graph; or it was captured from code, which a file
            must not name, or from a configuration that is missing or has changed.
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
        changed = [name for name, value in graph.facts.items() if facts.get(name, value) != value]
        if changed:
            raise_capture_error("G803", word_label(source, parsed.name), f"{reference!r} was captured from another configuration",
                   f"got: {changed[0]} {facts[changed[0]]}", f"needed: {changed[0]} {graph.facts[changed[0]]}")  # fmt: skip
    return model


def shrink_model(
    reference: str,
    sizes: Mapping[str, int],
    *,
    keep_depth: bool = False,
    kept: Collection[int] = (),
    kept_groups: Collection[str] = (),
) -> ShrunkModel:
    """A smaller model. A factory's model stays as it is.

    Args:
        reference: what `planc capture` takes.
        sizes: of the axes whose ranks divide dims of the model.
        keep_depth: keep all layers: a plan may name them by number.
        kept: sizes that stay: a plan may name them.
        kept_groups: groups of sizes that stay: `widths`, `experts`, `vocabulary`, `positions`.

    Raises:
        planc.graph.capture_error.CaptureError: there is no such model.
    """
    source = Source("MODEL", reference)
    parsed = parse_reference(source)
    if parsed.kind == "factory":
        return ShrunkModel(reference, (), ("the factory's model is run as it is",))
    _, config = hugging_face.class_and_config(parsed, source)
    changes = shrink_widths(config, prod(sizes.values()), kept)
    changes = {group: {} if group in kept_groups else found for group, found in changes.items()}
    notes: list[str] = []
    if not keep_depth:
        depths = _shrink_depths(parsed, config, changes, notes)
        changes["depth"] = {} if keeps_named_size(config, depths, kept) else depths
    small = _smallest_buildable(parsed, source, config, changes, notes)
    return small.with_(notes=(*small.notes, *_divisibility_notes(parsed, small, sizes)))


def _smallest_buildable(
    parsed: ModelReference, source: Source, config: Any, changes: dict[str, WidthChanges], notes: list[str]
) -> ShrunkModel:
    """The smallest model that can be built: with all groups of changes, without one of them, or with one alone."""
    every = tuple(group for group in _CHANGE_GROUPS if changes.get(group))
    attempts = [every, *(tuple(g for g in every if g != group) for group in reversed(every)), every[:1]]
    first_error, first_built = "", None
    for groups in dict.fromkeys(attempts):
        sizes = {name: size for group in groups for name, size in changes[group].items()}
        reference = _with_settings(parsed, sizes)
        try:
            raised = _raised_by_call(reference)
        except CaptureError as error:
            first_error = first_error or (error.diagnostic.notes or (error.diagnostic.message,))[0]
            continue
        left = [group for group in every if group not in groups]
        more = [f"not made smaller: {', '.join(left)} ({first_error})"] if left else []
        small = ShrunkModel(reference, tuple(_change_lines(config, sizes)), (*notes, *more))
        if raised is None:
            return small
        first_built = first_built or small
        first_error = first_error or f"raised: {raised}"
    if first_built is not None:
        return first_built
    return ShrunkModel(source.text, (), (*notes, f"the model is run as it is ({first_error})"))


def _raised_by_call(reference: str) -> Exception | None:
    """What a model raises when it is called on the meta device; None: nothing, or that it cannot be known there.

    Raises:
        CaptureError: the model cannot be built.
    """
    source = Source("MODEL", reference)
    parsed = parse_reference(source)
    _, keywords, _ = hugging_face.build_transformers_model(parsed, source)
    infos = {
        name: TensorInfo(tuple(item.shape), str(item.dtype).removeprefix("torch."))
        for name, item in keywords.items()
        if isinstance(item, Tensor)
    }
    raised = call_on_meta(_build_on_meta(parsed, {}), infos)
    return None if raised is None or asks_for_values(raised) else raised


def _divisibility_notes(
    parsed: ModelReference, small: ShrunkModel, sizes: Mapping[str, int]
) -> Iterator[str]:
    """Where the ranks divide other dims of the small model than of the full one."""
    if not small.changes:
        return
    small_model = _build_on_meta(parse_reference(Source("MODEL", small.reference)), {})
    try:
        full_model = _build_on_meta(parsed, {})
    except CaptureError:
        return
    if lines := divisibility_changes(full_model, small_model, prod(sizes.values())):
        more = f", and {len(lines) - _MAX_LISTED} more" if len(lines) > _MAX_LISTED else ""
        yield f"not divided as in the full model: {', '.join(lines[:_MAX_LISTED])}{more}"


def _with_settings(parsed: ModelReference, sizes: WidthChanges) -> str:
    settings = {**parsed.settings, **{name: str(size) for name, size in sizes.items()}}
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    return f"hf:{parsed.name}?{query}" if query else f"hf:{parsed.name}"


def _change_lines(config: Any, sizes: WidthChanges) -> Iterator[str]:
    for name, size in sizes.items():
        current = config
        for part in name.split("."):
            current = config_value(current, part)
        if current != size:
            yield f"{name} {current} -> {size}"


def _shrink_depths(
    parsed: ModelReference, config: Any, changes: Mapping[str, WidthChanges], notes: list[str]
) -> WidthChanges:
    """How many layers to keep: the first ones that include each kind, two at least."""
    depths = {
        f"{prefix}{name}": value
        for prefix, nested in nested_configs(config)
        for name, value in integer_settings(nested).items()
        if name in _DEPTH_SETTINGS and value > 2
    }
    if not depths:
        return {}
    other_changes = {name: size for group in changes.values() for name, size in group.items()}
    deep = _build_if_possible(parsed, other_changes)
    if deep is None:
        deep = _build_if_possible(parsed, {})
    if deep is None:
        return {}
    needed = {name: max(2, layers_needed(deep, depth)) for name, depth in depths.items()}
    smaller = {name: depth for name, depth in needed.items() if depth < depths[name]}
    shallow = _build_if_possible(parsed, {**other_changes, **smaller})
    if shallow is not None and _all_layer_kinds(shallow) != _all_layer_kinds(deep):
        notes.append("all layers are run: a model with fewer layers has layers of other kinds")
        return {}
    return smaller


def _build_if_possible(parsed: ModelReference, sizes: WidthChanges) -> Any | None:
    try:
        return _build_on_meta(parsed, sizes)
    except CaptureError:
        return None


def _build_on_meta(parsed: ModelReference, sizes: WidthChanges) -> Any:
    source = Source("MODEL", _with_settings(parsed, sizes))
    model_class, config = hugging_face.class_and_config(parse_reference(source), source)
    return hugging_face.build_module(model_class, config, "meta", source)


def _all_layer_kinds(model: Any) -> frozenset[Any]:
    return frozenset(kind for kinds in layer_kinds(model) for kind in kinds)
