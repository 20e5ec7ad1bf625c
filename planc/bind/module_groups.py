"""Where in a model a bound module stands: its first name, and how many there are of it.

Laws walk these, not the modules one by one: 126 equal layers are one site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock


class ModuleGroup(Record):
    """All modules of one `Bound` that stand in the same surroundings."""

    bound: BoundModule
    name: str
    """The dotted name of the first of them; the model itself is ''."""
    count: int
    context: Any = None
    """What `spread` handed down to them."""


def module_groups(binding: Binding) -> list[ModuleGroup]:
    """Every bound module once, in the order of the model."""
    return propagate(binding, None, lambda *_: None)


def propagate(
    binding: Binding, initial: Any, transition: Callable[[Any, BoundModule], Any]
) -> list[ModuleGroup]:
    """Walk down the model with something that its modules hand to those below them.

    Args:
        start: what the model itself is handed.
        into: what a module hands down, from what it was handed; it can be hashed.
    """
    names: dict[tuple[BoundModule, Any], str] = {}
    below: dict[tuple[BoundModule, Any], list[tuple[BoundModule, Any]]] = {}
    done: list[tuple[BoundModule, Any]] = []

    def visit(key: tuple[BoundModule, Any], name: str) -> None:
        names[key] = name
        bound, context = key
        handed = transition(context, bound)
        following = below[key] = []
        for own, child in bound.children.items():
            inner = (child, handed)
            following.append(inner)
            if inner not in names:
                visit(inner, f"{name}.{own}" if name else own)
        done.append(key)

    visit((binding.root, initial), "")
    counts = dict.fromkeys(names, 0)
    counts[binding.root, initial] = 1
    for key in reversed(done):  # a module is counted before those below it
        for inner in below[key]:
            counts[inner] += counts[key]
    return [
        ModuleGroup(bound, name, counts[bound, context], context) for (bound, context), name in names.items()
    ]


def location_note(groups: Iterable[ModuleGroup]) -> str:
    """The first module of some sites, and how many more there are."""
    every = list(groups)
    more = sum(site.count for site in every) - 1
    return f"at: {display_name(every[0].name)}" + (f" (and {more} like it)" if more else "")


def display_name(name: str) -> str:
    """The name of a module, as a plan writes it."""
    return name or "root"


def qualified_name(module: str, name: str) -> str:
    """The dotted name of something that a module owns."""
    return f"{module}.{name}" if module else name


def rules_with_modules(
    binding: Binding, *kinds: str
) -> Iterator[tuple[ResolvedBlock, Located, list[ModuleGroup]]]:
    """The entries of the blocks of some kinds, each with the modules that it governs."""
    every = module_groups(binding)
    for b, block in enumerate(binding.resolved.blocks):
        if block.kind in kinds:
            own: dict[int, list[ModuleGroup]] = {}
            for site in every:
                if (entry := site.bound.entries.get(b)) is not None:
                    own.setdefault(entry, []).append(site)
            for entry in sorted(own):
                yield block, block.entries[entry], own[entry]


def axis_size(binding: Binding, block: ResolvedBlock) -> int:
    """The devices along the axis of a block; 1 where nobody has given a size."""
    name = block.axes[0].value
    return next((axis.size or 1 for axis in binding.resolved.axes if axis.name == name), 1)
