"""Changes of layouts, wherever a plan says one."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.ir.blocks import Loss, ParamLayout, Port, Rule, TensorBlock
from planc.ir.layout import PARTIAL, REPLICATE, Layout, LayoutRef, Shard
from planc.ir.plan import LayoutLet, Plan
from planc.ir.styles import LOSSES, STYLES
from tests.mutation.describe import describe_change, entry_text
from tests.mutation.module_names import ModuleNames
from tests.mutation.record_edits import find_paths, get_at, replace_at
from tests.mutation.records import MutationResult
from tests.mutation.sampling import sample_layout


def change_arrow(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """What arrives at a style or what leaves it: another layout, one more, or one less."""
    rules = [path for path in find_paths(plan, Rule) if get_at(plan, path).style]
    if not rules:
        return None
    path, side = rng.choice(rules), rng.choice(("input", "output", "output"))
    old = getattr(get_at(plan, path), side)
    less = old is not None and rng.random() < 0.3
    partial = get_at(plan, path).style == "rowwise" and rng.random() < 0.2
    layout = None if less else PARTIAL if partial else sample_layout(plan, rng, old, after=True)
    if layout == old:
        return None
    new = replace_at(plan, (*path, side), layout)
    return new, describe_change(plan, new, path)


def change_port(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """One side of a change at an argument or a result."""
    return _change_side(
        plan, rng, [(path, side) for path in find_paths(plan, Port) for side in ("before", "after")]
    )


def reverse_port(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A change at an argument or a result, turned round."""
    ports = [path for path in find_paths(plan, Port) if get_at(plan, path).before != get_at(plan, path).after]
    if not ports:
        return None
    path = rng.choice(ports)
    old = get_at(plan, path)
    new = replace_at(plan, path, Port(old.key, old.after, old.before))
    return new, describe_change(plan, new, path)


def change_port_key(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A change at another argument or result."""
    ports = find_paths(plan, Port)
    if not ports:
        return None
    path = rng.choice(ports)
    key = rng.choice([key for key in (0, 1, 2, "hidden_states") if key != get_at(plan, path).key])
    new = replace_at(plan, (*path, "key"), key)
    return new, describe_change(plan, new, path)


def change_let(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A layout that a let names."""
    lets = find_paths(plan, LayoutLet)
    sides = [
        (path, side) for path in lets for side in ("layout", "otherwise") if getattr(get_at(plan, path), side)
    ]
    if not sides:
        return None
    path, side = rng.choice(sides)
    old = get_at(plan, (*path, side))
    known = [layout for layout in (REPLICATE, Shard(1), Shard(-1), Shard(2), Shard(0)) if layout != old]
    new = replace_at(plan, (*path, side), rng.choice(known))
    return new, describe_change(plan, new, path)


def reverse_let(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A let of two layouts, each in the place of the other."""
    lets = [path for path in find_paths(plan, LayoutLet) if get_at(plan, path).otherwise is not None]
    if not lets:
        return None
    path = rng.choice(lets)
    old = get_at(plan, path)
    new = replace_at(replace_at(plan, (*path, "layout"), old.otherwise), (*path, "otherwise"), old.layout)
    return new, describe_change(plan, new, path)


def change_param(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """How a parameter is cut: another dim, other parts, or whole."""
    found = find_paths(plan, ParamLayout)
    if not found:
        return None
    path = rng.choice(found)
    old: Layout = get_at(plan, path).layout
    known: list[Any] = [Shard(0), Shard(1), Shard(2), Shard(-1), REPLICATE]
    if isinstance(old, Shard):
        known += [Shard(old.dim, parts) for parts in (1, 2, 3)] * 2
    new = replace_at(plan, (*path, "layout"), rng.choice([layout for layout in known if layout != old]))
    return new, describe_change(plan, new, path)


def add_param(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A layout of a parameter that a rule's modules own."""
    found = [
        (path, name)
        for path in find_paths(plan, Rule)
        for name in _unset_parameters(get_at(plan, path), names, plan)
    ]
    if not found:
        return None
    path, name = rng.choice(found)
    layout = rng.choice((Shard(0), Shard(1), REPLICATE))
    new = replace_at(plan, (*path, "params"), (*get_at(plan, path).params, ParamLayout(name, layout)))
    return new, describe_change(plan, new, path)


def _unset_parameters(rule: Rule, names: ModuleNames, plan: Plan) -> list[str]:
    declared = {param.name for param in rule.params}
    modules = names.matches(rule.pattern, plan)[:1]
    return [n for m in modules for n in names.modules[m].parameters if n not in declared and n.isidentifier()]


def change_loss(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The loss: gone, another one, or one where there is none."""
    blocks = find_paths(plan, TensorBlock)
    if not blocks:
        return None
    path = (*rng.choice(blocks), "loss")
    old = get_at(plan, path)
    if old is None:
        added = Loss(rng.choice(list(LOSSES)))
        return replace_at(plan, path, added), entry_text(added)
    if rng.random() < 0.5:
        return replace_at(plan, path, None), f"{entry_text(old)}, gone"
    style = rng.choice([name for name in LOSSES if name != old.style])
    new = replace_at(plan, path, Loss(style, old.when, old.override))
    return new, describe_change(plan, new, path)


def gather_logits(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """No split loss, and whole logits at the rules that leave them split."""
    new, changes = plan, []
    for path in find_paths(plan, TensorBlock):
        if get_at(plan, path).loss is None:
            continue
        new = replace_at(new, (*path, "loss"), None)
        changes.append("no loss")
        for i, rule in enumerate(get_at(plan, path).rules):
            if rule.style == "colwise" and rule.output == Shard(-1):
                new = replace_at(new, (*path, "rules", i, "output"), REPLICATE)
                changes.append(describe_change(plan, new, (*path, "rules", i)))
    return (new, "; ".join(changes)) if changes else None


def write_default(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A layout written out that a style takes or gives anyway."""
    found = []
    for path in find_paths(plan, Rule):
        rule = get_at(plan, path)
        style = STYLES.get(rule.style or "")
        if style is None:
            continue
        if rule.output is None and style.output is not None:
            found.append((path, "output", style.output))
        if rule.input is None and style.input is not None and not style.masks_lookups:
            found.append((path, "input", style.input))
    if not found:
        return None
    path, side, layout = rng.choice(found)
    new = replace_at(plan, (*path, side), layout)
    return new, describe_change(plan, new, path)


def inline_let_side(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The layout of a let, in place of its name. Only where the let has no condition is it the same."""
    lets = {let.name: let for let in plan.lets if isinstance(let, LayoutLet)}
    found = [
        path
        for path in find_paths(plan, LayoutRef)
        if get_at(plan, path).name in lets and path[0] == "blocks"
    ]
    if not found:
        return None
    path = rng.choice(found)
    meant = lets[get_at(plan, path).name]
    sides = [side for side in (meant.layout, meant.otherwise) if side is not None]
    new = replace_at(plan, path, rng.choice(sides))
    return new, describe_change(plan, new, path)


def _change_side(plan: Plan, rng: Random, sides: list[tuple[Any, str]]) -> MutationResult:
    if not sides:
        return None
    path, side = rng.choice(sides)
    old = get_at(plan, (*path, side))
    new = replace_at(plan, (*path, side), sample_layout(plan, rng, old, after=side == "after"))
    return new, describe_change(plan, new, path)
