"""Changes of layouts, wherever a plan says one."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.blocks.tensor import Loss, ParamLayout, Port, Rule, TensorBlock
from planc.ir.layout import PARTIAL, REPLICATE, Layout, Named, Shard
from planc.ir.plan import LayoutLet, Plan
from planc.mutate.draw import draw_layout
from planc.mutate.edit import at, paths, put
from planc.mutate.names import Names
from planc.mutate.records import Made
from planc.mutate.saying import changed, line
from planc.styles import LOSSES, STYLES


def arrow(plan: Plan, names: Names, chance: Random) -> Made:
    """What arrives at a style or what leaves it: another layout, one more, or one less."""
    rules = [path for path in paths(plan, Rule) if at(plan, path).style]
    if not rules:
        return None
    path, side = chance.choice(rules), chance.choice(("input", "output", "output"))
    old = getattr(at(plan, path), side)
    less = old is not None and chance.random() < 0.3
    partial = at(plan, path).style == "rowwise" and chance.random() < 0.2
    layout = None if less else PARTIAL if partial else draw_layout(plan, chance, old, after=True)
    if layout == old:
        return None
    new = put(plan, (*path, side), layout)
    return new, changed(plan, new, path)


def port(plan: Plan, names: Names, chance: Random) -> Made:
    """One side of a change at an argument or a result."""
    return _other(plan, chance, [(path, side) for path in paths(plan, Port) for side in ("before", "after")])


def port_both(plan: Plan, names: Names, chance: Random) -> Made:
    """A change at an argument or a result, turned round."""
    ports = [path for path in paths(plan, Port) if at(plan, path).before != at(plan, path).after]
    if not ports:
        return None
    path = chance.choice(ports)
    old = at(plan, path)
    new = put(plan, path, Port(old.key, old.after, old.before))
    return new, changed(plan, new, path)


def port_key(plan: Plan, names: Names, chance: Random) -> Made:
    """A change at another argument or result."""
    ports = paths(plan, Port)
    if not ports:
        return None
    path = chance.choice(ports)
    key = chance.choice([key for key in (0, 1, 2, "hidden_states") if key != at(plan, path).key])
    new = put(plan, (*path, "key"), key)
    return new, changed(plan, new, path)


def let(plan: Plan, names: Names, chance: Random) -> Made:
    """A layout that a let names."""
    lets = paths(plan, LayoutLet)
    sides = [
        (path, side) for path in lets for side in ("layout", "otherwise") if getattr(at(plan, path), side)
    ]
    if not sides:
        return None
    path, side = chance.choice(sides)
    old = at(plan, (*path, side))
    known = [layout for layout in (REPLICATE, Shard(1), Shard(-1), Shard(2), Shard(0)) if layout != old]
    new = put(plan, (*path, side), chance.choice(known))
    return new, changed(plan, new, path)


def let_turned(plan: Plan, names: Names, chance: Random) -> Made:
    """A let of two layouts, each in the place of the other."""
    lets = [path for path in paths(plan, LayoutLet) if at(plan, path).otherwise is not None]
    if not lets:
        return None
    path = chance.choice(lets)
    old = at(plan, path)
    new = put(put(plan, (*path, "layout"), old.otherwise), (*path, "otherwise"), old.layout)
    return new, changed(plan, new, path)


def param(plan: Plan, names: Names, chance: Random) -> Made:
    """How a parameter is cut: another dim, other parts, or whole."""
    found = paths(plan, ParamLayout)
    if not found:
        return None
    path = chance.choice(found)
    old: Layout = at(plan, path).layout
    known: list[Any] = [Shard(0), Shard(1), Shard(2), Shard(-1), REPLICATE]
    if isinstance(old, Shard):
        known += [Shard(old.dim, parts) for parts in (1, 2, 3)] * 2
    new = put(plan, (*path, "layout"), chance.choice([layout for layout in known if layout != old]))
    return new, changed(plan, new, path)


def add_param(plan: Plan, names: Names, chance: Random) -> Made:
    """A layout of a parameter that a rule's modules own."""
    found = [(path, name) for path in paths(plan, Rule) for name in _owned(at(plan, path), names, plan)]
    if not found:
        return None
    path, name = chance.choice(found)
    layout = chance.choice((Shard(0), Shard(1), REPLICATE))
    new = put(plan, (*path, "params"), (*at(plan, path).params, ParamLayout(name, layout)))
    return new, changed(plan, new, path)


def _owned(rule: Rule, names: Names, plan: Plan) -> list[str]:
    said = {param.name for param in rule.params}
    modules = names.matched(rule.pattern, plan)[:1]
    return [n for m in modules for n in names.modules[m].parameters if n not in said and n.isidentifier()]


def loss(plan: Plan, names: Names, chance: Random) -> Made:
    """The loss: gone, another one, or one where there is none."""
    blocks = paths(plan, TensorBlock)
    if not blocks:
        return None
    path = (*chance.choice(blocks), "loss")
    old = at(plan, path)
    if old is None:
        added = Loss(chance.choice(list(LOSSES)))
        return put(plan, path, added), line(added)
    if chance.random() < 0.5:
        return put(plan, path, None), f"{line(old)}, gone"
    style = chance.choice([name for name in LOSSES if name != old.style])
    new = put(plan, path, Loss(style, old.when, old.override))
    return new, changed(plan, new, path)


def gather_logits(plan: Plan, names: Names, chance: Random) -> Made:
    """No split loss, and whole logits at the rules that leave them split."""
    new, told = plan, []
    for path in paths(plan, TensorBlock):
        if at(plan, path).loss is None:
            continue
        new = put(new, (*path, "loss"), None)
        told.append("no loss")
        for i, rule in enumerate(at(plan, path).rules):
            if rule.style == "colwise" and rule.output == Shard(-1):
                new = put(new, (*path, "rules", i, "output"), REPLICATE)
                told.append(changed(plan, new, (*path, "rules", i)))
    return (new, "; ".join(told)) if told else None


def say_default(plan: Plan, names: Names, chance: Random) -> Made:
    """A layout written out that a style takes or gives anyway."""
    found = []
    for path in paths(plan, Rule):
        rule = at(plan, path)
        style = STYLES.get(rule.style or "")
        if style is None:
            continue
        if rule.output is None and style.output is not None:
            found.append((path, "output", style.output))
        if rule.input is None and style.input is not None and not style.takes:
            found.append((path, "input", style.input))
    if not found:
        return None
    path, side, layout = chance.choice(found)
    new = put(plan, (*path, side), layout)
    return new, changed(plan, new, path)


def inline(plan: Plan, names: Names, chance: Random) -> Made:
    """The layout of a let, in place of its name. Only where the let has no condition is it the same."""
    lets = {let.name: let for let in plan.lets if isinstance(let, LayoutLet)}
    found = [path for path in paths(plan, Named) if at(plan, path).name in lets and path[0] == "blocks"]
    if not found:
        return None
    path = chance.choice(found)
    meant = lets[at(plan, path).name]
    sides = [side for side in (meant.layout, meant.otherwise) if side is not None]
    new = put(plan, path, chance.choice(sides))
    return new, changed(plan, new, path)


def _other(plan: Plan, chance: Random, sides: list[tuple[Any, str]]) -> Made:
    if not sides:
        return None
    path, side = chance.choice(sides)
    old = at(plan, (*path, side))
    new = put(plan, (*path, side), draw_layout(plan, chance, old, after=side == "after"))
    return new, changed(plan, new, path)
