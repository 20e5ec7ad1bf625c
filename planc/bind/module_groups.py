"""Groups of equal modules: the first name of each group, and how many modules it has.

Checks walk groups, not the modules one by one: 126 equal layers are one group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.blocks import Entry
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock


class ModuleGroup(Record):
    """The modules of one `BoundModule` that `propagate` gave the same context."""

    bound: BoundModule
    name: str
    """The dotted name of the first of them; the model itself is ''."""
    count: int
    context: Any = None
    """The context that `propagate` passed down to them."""


def module_groups(binding: Binding) -> list[ModuleGroup]:
    """Every bound module once, in the order of the model."""
    return propagate(binding, None, lambda *_: None)


def propagate(
    binding: Binding, initial: Any, transition: Callable[[Any, BoundModule], Any]
) -> list[ModuleGroup]:
    """Pass a context down the model, as from a layer to the modules inside it, and group the modules by it.

    Args:
        initial: the context of the model itself.
        transition: gives the context of a module's children from its own context and the module;
            contexts are hashable.

    Returns:
        One group for each pair of a bound module and a context, in the order of the model.
    """
    names: dict[tuple[BoundModule, Any], str] = {}
    below: dict[tuple[BoundModule, Any], list[tuple[BoundModule, Any]]] = {}
    done: list[tuple[BoundModule, Any]] = []

    def visit(key: tuple[BoundModule, Any], name: str) -> None:
        names[key] = name
        bound, context = key
        child_context = transition(context, bound)
        below[key] = []
        for own_name, child in bound.children.items():
            inner = (child, child_context)
            below[key].append(inner)
            if inner not in names:
                visit(inner, qualified_name(name, own_name))
        done.append(key)

    visit((binding.root, initial), "")
    counts = dict.fromkeys(names, 0)
    counts[binding.root, initial] = 1
    for key in reversed(done):  # every module before its children
        for inner in below[key]:
            counts[inner] += counts[key]
    return [
        ModuleGroup(bound, name, counts[bound, context], context) for (bound, context), name in names.items()
    ]


def location_note(groups: Iterable[ModuleGroup]) -> str:
    """A note that names the first module of some groups, and says how many more there are."""
    found = list(groups)
    more = sum(group.count for group in found) - 1
    return f"at: {display_name(found[0].name)}" + (f" (and {more} like it)" if more else "")


def display_name(name: str) -> str:
    """The name of a module as a plan writes it: the model itself is `root`."""
    return name or "root"


def qualified_name(module: str, name: str) -> str:
    """The dotted name of a child or a parameter of a module."""
    return f"{module}.{name}" if module else name


def rules_with_modules(
    binding: Binding, *entries: type[Entry]
) -> Iterator[tuple[ResolvedBlock, Located, list[ModuleGroup]]]:
    """The entries of these types, of all types without one, each with the modules that it applies to."""
    groups = module_groups(binding)
    for number, block in binding.resolved.blocks_of(*entries or (Entry,)):
        groups_of_entry: dict[int, list[ModuleGroup]] = {}
        for group in groups:
            if (entry := group.bound.entries.get(number)) is not None:
                groups_of_entry.setdefault(entry, []).append(group)
        for entry in sorted(groups_of_entry):
            yield block, block.entries[entry], groups_of_entry[entry]


def axis_size(binding: Binding, block: ResolvedBlock) -> int:
    """The ranks along the axis of a block; 1 where the axis has no size."""
    name = block.axes[0].value
    return next((axis.size or 1 for axis in binding.resolved.axes if axis.name == name), 1)
