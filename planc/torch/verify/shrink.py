"""A smaller model of the same kind, as a reference: fewer blocks, smaller widths.

What a mesh divides stays divided, and what it does not, does not: a plan that is right for the one model is
right for the other. Numbers are told by the names that configurations of transformers have in common.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from planc.graphs.cache import graph_of, located
from planc.graphs.faults import CaptureFault, refuse, whole
from planc.graphs.write import ENDINGS
from planc.ir.record import Record
from planc.ir.source import Source
from planc.torch import hf
from planc.torch.reference import Reference, parse
from planc.torch.verify.divided import otherwise
from planc.torch.verify.kinds import kinds_of, needed
from planc.torch.verify.narrow import Sizes, narrow, numbers_of, parts_of, said

_DEPTHS = frozenset({
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "depth",
})  # fmt: skip
_GROUPS = ("depth", "widths", "experts", "vocabulary", "positions")
"""Groups of changes; where a model cannot be made smaller, the last is left out first."""

_SHOWN = 3


class Shrunk(Record):
    """A model to be run in the place of another one."""

    reference: str
    changes: tuple[str, ...] = ()
    """What is smaller, as `num_hidden_layers 32 -> 2`."""
    notes: tuple[str, ...] = ()
    """What could not be made smaller, and why."""


def resolved(reference: str) -> str:
    """What a model is built from: a graph, a file or the name of a shipped one, stands for what it was captured
    from. A configuration is looked for beside the graph, which knows no folders.

    Raises:
        planc.graphs.faults.CaptureFault: there is no such graph; it was captured from code, which a file may
            not name; or from a configuration that is not there, or is another one by now.
    """
    if ":" in reference and not reference.endswith(ENDINGS):
        return reference
    graph = graph_of(reference)
    if not graph.model.startswith("hf:"):
        refuse("G803", f"{reference!r} was captured from code", whole(Source("--model", reference)),
               f"got: {graph.model}", "needed: the code itself, --model FILE.py:FACTORY")  # fmt: skip
    model = located(graph.model, os.path.dirname(reference))
    source = Source("--model", model)
    parsed = parse(source)
    if parsed.kind == "config":
        facts = hf.facts(hf.configuration(parsed, source)[1])
        other = [name for name, value in graph.facts.items() if facts.get(name, value) != value]
        if other:
            refuse("G803", f"{reference!r} was captured from another configuration", whole(source, parsed.name),
                   f"got: {other[0]} {facts[other[0]]}", f"needed: {other[0]} {graph.facts[other[0]]}")  # fmt: skip
    return model


def shrunk(reference: str, sizes: Mapping[str, int], *, keep_depth: bool = False) -> Shrunk:
    """A smaller model; a model that is no configuration of transformers is left as it is.

    Args:
        reference: what `planc capture` takes.
        sizes: of the axes whose ranks share dims of the model.
        keep_depth: leave every block in its place: a plan may name them by number.

    Raises:
        planc.graphs.faults.CaptureFault: there is no such model.
    """
    source = Source("MODEL", reference)
    parsed = parse(source)
    if parsed.kind == "factory":
        return Shrunk(reference, (), ("the factory's model is run as it is",))
    _, config = hf.configuration(parsed, source)
    changes = narrow(config, prod(sizes.values()))
    notes: list[str] = []
    if not keep_depth:
        changes["depth"] = _depths(parsed, config, changes, notes)
    found = _built(parsed, source, config, changes, notes)
    return Shrunk(found.reference, found.changes, (*found.notes, *_differences(parsed, found, sizes)))


def _built(
    parsed: Reference, source: Source, config: Any, changes: dict[str, Sizes], notes: list[str]
) -> Shrunk:
    """The smallest that can be built: without one of the groups of changes, or with one alone."""
    every = tuple(group for group in _GROUPS if changes.get(group))
    tried = [every, *(tuple(g for g in every if g != group) for group in reversed(every)), every[:1]]
    first = ""
    for groups in dict.fromkeys(tried):
        made = {name: size for group in groups for name, size in changes[group].items()}
        one = _with(parsed, made)
        try:
            hf.build(parse(Source("MODEL", one)), Source("MODEL", one))
        except CaptureFault as bad:
            first = first or (bad.diagnostic.notes or (bad.diagnostic.message,))[0]
            continue
        if left := [group for group in every if group not in groups]:
            notes.append(f"left as they are: {', '.join(left)} ({first})")
        return Shrunk(one, tuple(_lines(config, made)), tuple(notes))
    return Shrunk(source.text, (), (*notes, f"the model is run as it is ({first})"))


def _differences(parsed: Reference, found: Shrunk, sizes: Mapping[str, int]) -> Iterator[str]:
    """What a plan may be told of the small model that is not so of the full one."""
    if not found.changes:
        return
    small = _made(parse(Source("MODEL", found.reference)), {})
    try:
        full = _made(parsed, {})
    except CaptureFault:
        return
    if lines := otherwise(full, small, prod(sizes.values())):
        more = f", and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        yield f"not shared as in the full model: {', '.join(lines[:_SHOWN])}{more}"


def _with(parsed: Reference, made: Sizes) -> str:
    settings = {**parsed.settings, **{name: str(size) for name, size in made.items()}}
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    return f"hf:{parsed.name}?{query}" if query else f"hf:{parsed.name}"


def _lines(config: Any, made: Sizes) -> Iterator[str]:
    for name, size in made.items():
        of = config
        for part in name.split("."):
            of = said(of, part)
        if of != size:
            yield f"{name} {of} -> {size}"


def _depths(parsed: Reference, config: Any, changes: Mapping[str, Sizes], notes: list[str]) -> Sizes:
    """How many blocks are left: the first ones that hold one of each kind, two at least."""
    depths = {
        f"{prefix}{name}": value
        for prefix, part in parts_of(config)
        for name, value in numbers_of(part).items()
        if name in _DEPTHS and value > 2
    }
    if not depths:
        return {}
    try:
        deep = _made(parsed, {name: size for group in changes.values() for name, size in group.items()})
    except CaptureFault:
        try:
            deep = _made(parsed, {})
        except CaptureFault:
            return {}
    found = {name: max(2, needed(deep, count)) for name, count in depths.items()}
    found = {name: size for name, size in found.items() if size < depths[name]}
    try:
        small = _made(parsed, {**{n: s for group in changes.values() for n, s in group.items()}, **found})
    except CaptureFault:
        return found
    if _kinds(small) != _kinds(deep):
        notes.append("every block is run: a model with fewer of them has others")
        return {}
    return found


def _made(parsed: Reference, sizes: Sizes) -> Any:
    source = Source("MODEL", _with(parsed, sizes))
    return hf.build(parse(source), source)[0]


def _kinds(model: Any) -> frozenset[Any]:
    return frozenset(kind for kinds in kinds_of(model) for kind in kinds)
