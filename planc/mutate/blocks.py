"""Changes of what is sharded, recomputed and compiled: units, regions, settings, whole blocks."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.blocks import KINDS
from planc.blocks.compile import Compile, CompileBlock
from planc.blocks.fsdp import FsdpBlock, Unit
from planc.blocks.recompute import SAVED, Recompute, RecomputeBlock
from planc.blocks.settings import Setting
from planc.ir.diagnostic import Path
from planc.ir.plan import Mesh, Plan
from planc.mutate.edit import at, drop, insert, paths, put, with_
from planc.mutate.names import ROOT, Names, general, pattern_of
from planc.mutate.records import Made
from planc.mutate.saying import changed, line
from planc.resolve.bind import patterns


def drop_block(plan: Plan, names: Names, chance: Random) -> Made:
    """A block less: nothing is split over its axis, or recomputed, or compiled."""
    if not plan.blocks:
        return None
    i = chance.randrange(len(plan.blocks))
    return drop(plan, ("blocks", i)), KINDS[plan.blocks[i].kind].write(plan.blocks[i])[0]


def drop_unit(plan: Plan, names: Names, chance: Random) -> Made:
    return _dropped(plan, chance, Unit)


def drop_region(plan: Plan, names: Names, chance: Random) -> Made:
    return _dropped(plan, chance, Recompute, Compile)


def _dropped(plan: Plan, chance: Random, *types: type) -> Made:
    found = paths(plan, *types)
    if not found:
        return None
    path = chance.choice(found)
    return drop(plan, path), line(at(plan, path))


def add_unit(plan: Plan, names: Names, chance: Random) -> Made:
    """A unit more, of modules that are none yet."""
    blocks = paths(plan, FsdpBlock)
    if not blocks:
        return None
    path = chance.choice(blocks)
    name = _free(plan, path, "units", names, chance)
    if name is None:
        return None
    unit = Unit((pattern_of(chance.choice((name, general(name))), plan),))
    return insert(plan, (*path, "units", 0), unit), line(unit)


def add_region(plan: Plan, names: Names, chance: Random) -> Made:
    """A region more that is recomputed or compiled, of modules that are none yet."""
    blocks = paths(plan, RecomputeBlock, CompileBlock)
    if not blocks:
        blocks = [("blocks", len(plan.blocks))]
        plan = with_(plan, blocks=(*plan.blocks, RecomputeBlock()))
    path = chance.choice(blocks)
    field = KINDS[at(plan, path).kind].entries
    name = _free(plan, path, field, names, chance)
    if name is None:
        return None
    make: Any = Recompute if field == "regions" else Compile
    entry = make(pattern_of(chance.choice((name, general(name))), plan))
    end = len(getattr(at(plan, path), field))
    return insert(plan, (*path, field, end), entry), f"{at(plan, path).kind} {line(entry)}"


def _free(plan: Plan, path: Path, field: str, names: Names, chance: Random) -> str | None:
    """A module that has no entry in a block."""
    said = [pattern for entry in getattr(at(plan, path), field) for pattern in patterns(entry)]
    taken = {name for pattern in said for name in names.matched(pattern, plan)}
    return names.draw(chance, [name for name in names.every if name not in taken])


def split_unit(plan: Plan, names: Names, chance: Random) -> Made:
    """A unit of several patterns as several units."""
    found = [path for path in paths(plan, Unit) if len(at(plan, path).patterns) > 1]
    if not found:
        return None
    path = chance.choice(found)
    old = at(plan, path)
    units = [with_(old, patterns=(pattern,)) for pattern in old.patterns]
    return insert(drop(plan, path), path, *units), f"{line(old)} => {', '.join(map(line, units))}"


def join_units(plan: Plan, names: Names, chance: Random) -> Made:
    """Two units as one."""
    found = [path for path in paths(plan, Unit) if at(plan, path).patterns != (ROOT,)]
    pairs = [(a, b) for a in found for b in found if a < b and a[:2] == b[:2]]
    if not pairs:
        return None
    first, second = chance.choice(pairs)
    one, two = at(plan, first), at(plan, second)
    new = with_(one, patterns=(*one.patterns, *two.patterns))
    return put(drop(plan, second), first, new), f"{line(one)}, {line(two)} => {line(new)}"


def unit_part(plan: Plan, names: Names, chance: Random) -> Made:
    """A unit of several patterns with one of them less."""
    found = [path for path in paths(plan, Unit) if len(at(plan, path).patterns) > 1]
    if not found:
        return None
    path = chance.choice(found)
    new = drop(plan, (*path, "patterns", chance.randrange(len(at(plan, path).patterns))))
    return new, changed(plan, new, path)


def reshard(plan: Plan, names: Names, chance: Random) -> Made:
    """How a unit lies after its forward pass: numerically all the same."""
    found = paths(plan, Unit)
    if not found:
        return None
    path = chance.choice(found)
    known = [value for value in (None, False, 1) if value is not at(plan, path).reshard]
    new = put(plan, (*path, "reshard"), chance.choice(known))
    return new, changed(plan, new, path)


def mode(plan: Plan, names: Names, chance: Random) -> Made:
    """What a recomputed region keeps: numerically all the same."""
    found = paths(plan, Recompute)
    if not found:
        return None
    path = chance.choice(found)
    saved = tuple(chance.sample(list(SAVED), chance.randint(1, len(SAVED))))
    known: list[tuple[str | None, tuple[str, ...]]] = [(None, ()), ("full", ()), ("save", saved)]
    old = at(plan, path)
    kind, save = chance.choice([way for way in known if way != (old.mode, old.save)])
    new = put(plan, path, with_(old, mode=kind, save=save))
    return new, changed(plan, new, path)


def setting(plan: Plan, names: Names, chance: Random) -> Made:
    """A setting of a block: another value, or none."""
    found = paths(plan, Setting)
    if not found:
        return None
    path = chance.choice(found)
    known = KINDS[at(plan, path[:2]).kind].settings.get(at(plan, path).name)
    values = [value for value in known or () if value != at(plan, path).value]
    if not values or chance.random() < 0.4:
        return drop(plan, path), line(at(plan, path))
    new = put(plan, (*path, "value"), chance.choice(values))
    return new, changed(plan, new, path)


def swap_axes(plan: Plan, names: Names, chance: Random) -> Made:
    """The axes of the mesh in another order: other ranks are neighbours."""
    mesh = plan.mesh
    if mesh is None or len(mesh.axes) < 2:
        return None
    axes = tuple(chance.sample(mesh.axes, len(mesh.axes)))
    if axes == mesh.axes:
        axes = tuple(reversed(axes))
    new = with_(plan, mesh=Mesh(axes, mesh.override))
    return new, changed(plan, new, ("mesh",))
