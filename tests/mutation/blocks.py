"""Changes of what is sharded, recomputed and compiled: units, regions, settings, whole blocks."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.bind.binding import entry_patterns
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.blocks import (
    SAVEABLE_OPS,
    Compile,
    CompileBlock,
    FsdpBlock,
    Recompute,
    RecomputeBlock,
    Setting,
    Unit,
)
from planc.ir.diagnostic import FieldPath
from planc.ir.plan import Mesh, Plan
from planc.syntax.blocks.block_codec import codec_of
from tests.mutation.describe import describe_change, entry_text
from tests.mutation.module_names import ROOT, ModuleNames, generalize, pattern_of
from tests.mutation.record_edits import (
    find_paths,
    get_at,
    insert_at,
    remove_at,
    replace_at,
    replace_fields,
)
from tests.mutation.records import MutationResult


def drop_block(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A block less: nothing is split over its axis, or recomputed, or compiled."""
    if not plan.blocks:
        return None
    i = rng.randrange(len(plan.blocks))
    return remove_at(plan, ("blocks", i)), codec_of(plan.blocks[i].kind).encode(plan.blocks[i])[0]


def drop_unit(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    return _drop_one(plan, rng, Unit)


def drop_region(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    return _drop_one(plan, rng, Recompute, Compile)


def _drop_one(plan: Plan, rng: Random, *types: type) -> MutationResult:
    found = find_paths(plan, *types)
    if not found:
        return None
    path = rng.choice(found)
    return remove_at(plan, path), entry_text(get_at(plan, path))


def add_unit(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A unit more, of modules that are none yet."""
    blocks = find_paths(plan, FsdpBlock)
    if not blocks:
        return None
    path = rng.choice(blocks)
    name = _uncovered_module(plan, path, "units", names, rng)
    if name is None:
        return None
    unit = Unit((pattern_of(rng.choice((name, generalize(name))), plan),))
    return insert_at(plan, (*path, "units", 0), unit), entry_text(unit)


def add_region(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A region more that is recomputed or compiled, of modules that are none yet."""
    blocks = find_paths(plan, RecomputeBlock, CompileBlock)
    if not blocks:
        blocks = [("blocks", len(plan.blocks))]
        plan = replace_fields(plan, blocks=(*plan.blocks, RecomputeBlock()))
    path = rng.choice(blocks)
    field = BLOCK_KINDS[get_at(plan, path).kind].entries_field
    name = _uncovered_module(plan, path, field, names, rng)
    if name is None:
        return None
    make: Any = Recompute if field == "regions" else Compile
    entry = make(pattern_of(rng.choice((name, generalize(name))), plan))
    end = len(getattr(get_at(plan, path), field))
    return insert_at(plan, (*path, field, end), entry), f"{get_at(plan, path).kind} {entry_text(entry)}"


def _uncovered_module(plan: Plan, path: FieldPath, field: str, names: ModuleNames, rng: Random) -> str | None:
    """A module that has no entry in a block."""
    covered = [pattern for entry in getattr(get_at(plan, path), field) for pattern in entry_patterns(entry)]
    taken = {name for pattern in covered for name in names.matches(pattern, plan)}
    return names.sample(rng, [name for name in names.all_names if name not in taken])


def split_unit(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A unit of several patterns as several units."""
    found = [path for path in find_paths(plan, Unit) if len(get_at(plan, path).patterns) > 1]
    if not found:
        return None
    path = rng.choice(found)
    old = get_at(plan, path)
    units = [replace_fields(old, patterns=(pattern,)) for pattern in old.patterns]
    return insert_at(
        remove_at(plan, path), path, *units
    ), f"{entry_text(old)} => {', '.join(map(entry_text, units))}"


def join_units(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Two units as one."""
    found = [path for path in find_paths(plan, Unit) if get_at(plan, path).patterns != (ROOT,)]
    pairs = [(a, b) for a in found for b in found if a < b and a[:2] == b[:2]]
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    one, two = get_at(plan, first), get_at(plan, second)
    new = replace_fields(one, patterns=(*one.patterns, *two.patterns))
    return replace_at(
        remove_at(plan, second), first, new
    ), f"{entry_text(one)}, {entry_text(two)} => {entry_text(new)}"


def drop_unit_pattern(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A unit of several patterns with one of them less."""
    found = [path for path in find_paths(plan, Unit) if len(get_at(plan, path).patterns) > 1]
    if not found:
        return None
    path = rng.choice(found)
    new = remove_at(plan, (*path, "patterns", rng.randrange(len(get_at(plan, path).patterns))))
    return new, describe_change(plan, new, path)


def change_reshard(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """How a unit lies after its forward pass: numerically all the same."""
    found = find_paths(plan, Unit)
    if not found:
        return None
    path = rng.choice(found)
    known = [value for value in (None, False, 1) if value is not get_at(plan, path).reshard]
    new = replace_at(plan, (*path, "reshard"), rng.choice(known))
    return new, describe_change(plan, new, path)


def change_recompute_mode(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """What a recomputed region keeps: numerically all the same."""
    found = find_paths(plan, Recompute)
    if not found:
        return None
    path = rng.choice(found)
    saved = tuple(rng.sample(list(SAVEABLE_OPS), rng.randint(1, len(SAVEABLE_OPS))))
    known: list[tuple[str | None, tuple[str, ...]]] = [(None, ()), ("full", ()), ("save", saved)]
    old = get_at(plan, path)
    kind, save = rng.choice([way for way in known if way != (old.mode, old.save)])
    new = replace_at(plan, path, replace_fields(old, mode=kind, save=save))
    return new, describe_change(plan, new, path)


def change_setting(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A setting of a block: another value, or none."""
    found = find_paths(plan, Setting)
    if not found:
        return None
    path = rng.choice(found)
    known = BLOCK_KINDS[get_at(plan, path[:2]).kind].settings.get(get_at(plan, path).name)
    values = [value for value in known or () if value != get_at(plan, path).value]
    if not values or rng.random() < 0.4:
        return remove_at(plan, path), entry_text(get_at(plan, path))
    new = replace_at(plan, (*path, "value"), rng.choice(values))
    return new, describe_change(plan, new, path)


def swap_axes(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The axes of the mesh in another order: other ranks are neighbours."""
    mesh = plan.mesh
    if mesh is None or len(mesh.axes) < 2:
        return None
    axes = tuple(rng.sample(mesh.axes, len(mesh.axes)))
    if axes == mesh.axes:
        axes = tuple(reversed(axes))
    new = replace_fields(plan, mesh=Mesh(axes, mesh.override))
    return new, describe_change(plan, new, ("mesh",))
