"""Sizes of the mesh: those that the plan fixes, those that the user gives, and the one that `auto` fills."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from planc.ir.document import Document, PlanPath
from planc.ir.resolved import Located, ResolvedAxis, Settings
from planc.resolve.diagnostic_sink import DiagnosticSink


def resolve_mesh(
    mesh: Located | None,
    document: Document,
    settings: Settings,
    unparsed_words: frozenset[str],
    sink: DiagnosticSink,
) -> tuple[ResolvedAxis, ...]:
    """The axes with their sizes; None where neither the plan nor the user gives one."""
    named = mesh.value.axes if mesh else ()
    located = [Located(a, mesh.location.child("axes", i)) for i, a in enumerate(named)] if mesh else []
    location = mesh.location if mesh else PlanPath(document, ())
    _report_unknown_axes(settings.axis_sizes, {a.name for a in named}, unparsed_words, location, sink)
    sizes: dict[str, int | None] = {}
    axes: list[Located] = []
    for axis in located:
        if axis.value.name in sizes:
            sink.report(
                "N106", axis.location.label("declared again"), f"axis '{axis.value.name}' is declared twice"
            )
            continue
        sizes[axis.value.name] = _size(axis, settings.axis_sizes.get(axis.value.name), sink)
        axes.append(axis)
    filled = _fill(axes, sizes, settings.world_size, location, sink)
    return tuple(ResolvedAxis(a.value.name, filled[a.value.name], a.location) for a in axes)


def _report_unknown_axes(
    given: Mapping[str, int],
    known: set[str],
    unparsed_words: frozenset[str],
    location: PlanPath,
    sink: DiagnosticSink,
) -> None:
    """Report sizes for axes that the plan does not have; size 1 changes nothing."""
    for name, size in given.items():
        if name not in known and name not in unparsed_words and size != 1:
            has = ", ".join(sorted(known)) or "no axis"
            sink.report("M205", location.label(f"has {has}"), f"size {size} is given for axis '{name}', which the plan does not have",
                       f"help: leave out the size, or add '{name}' to the mesh")  # fmt: skip


def _size(axis: Located, given: int | None, sink: DiagnosticSink) -> int | None:
    """The size of one axis that the plan or the user fixes."""
    name, own = axis.value.name, axis.value.size
    if isinstance(own, int):
        if own < 1:
            sink.report("M205", axis.location.label(), f"axis '{name}' has size {own}", "needed: at least 1")
            return None
        if given is not None and given != own:
            sink.report("M205", axis.location.label(f"fixed at {own}"), f"axis '{name}' is given size {given}",
                       f"help: write 'mesh {name}' to leave the size open")  # fmt: skip
        return own
    return given


def _fill(
    axes: list[Located],
    sizes: dict[str, int | None],
    world: int | None,
    location: PlanPath,
    sink: DiagnosticSink,
) -> dict[str, int | None]:
    """Give the one open axis the devices that the others leave."""
    open_ = [a for a in axes if sizes[a.value.name] is None]
    autos = [a for a in open_ if a.value.size == "auto"]
    names = ", ".join(f"'{a.value.name}'" for a in open_)
    if len(autos) > 1 or (world is not None and len(open_) > 1):
        sink.report("M204", location.label(f"open: {names}"), "more than one axis has no size",
                   "needed: one open axis at most, for the world size to fill")  # fmt: skip
        return sizes
    if world is None:
        for axis in open_:
            name = axis.value.name
            flag = f"--{name} N" if name in ("dp", "tp") else f"--mesh {name}=N"
            sink.skip(f"size of axis {name}", f"no size is given: {flag}, or --world-size N", name)
        return sizes
    known = prod(size for size in sizes.values() if size is not None)
    if open_ and world % known == 0:
        return {n: world // known if s is None else s for n, s in sizes.items()}
    if open_:
        sink.report("M203", location.label(f"the others take {known}"),
                   f"{world} devices do not divide among the axes",
                   f"needed: a world size that is a multiple of {known}")  # fmt: skip
    elif known != world and axes:
        product = " x ".join(str(s) for s in sizes.values())
        sink.report("M203", location.label(f"{product} = {known}" if len(axes) > 1 else f"{known}"),
                   f"the mesh has {known} devices, the world {world}",
                   "help: change a size, or leave one axis open")  # fmt: skip
    return sizes
