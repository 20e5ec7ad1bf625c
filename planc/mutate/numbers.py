"""Changes of numbers and conditions: attributes, parts, `when`, `require`, options."""

from __future__ import annotations

from random import Random

from planc.blocks.tensor import Attribute, Part, Rule, TensorBlock
from planc.ir.diagnostic import Path
from planc.ir.expr import Binary, Const, Expr, Name, Unary, Value
from planc.ir.plan import Option, Plan
from planc.mutate.edit import at, drop, paths, put, with_
from planc.mutate.names import Names
from planc.mutate.records import Made
from planc.mutate.saying import changed, line


def attribute(plan: Plan, names: Names, chance: Random) -> Made:
    """Another value of an attribute: not shared out, shared out twice, of another fact."""
    found = paths(plan, Attribute)
    if not found:
        return None
    path = (*chance.choice(found), "value")
    new = put(plan, path, _number(at(plan, path), names, chance))
    return new, changed(plan, new, path)


def attribute_name(plan: Plan, names: Names, chance: Random) -> Made:
    """The value of one attribute for another one that the module's code reads."""
    found = [
        (path, name)
        for path in paths(plan, Attribute)
        for module in names.matched(at(plan, path[:4]).pattern, plan)[:1]
        for name in names.attributes(module)
        if name not in {said.name for said in at(plan, path[:4]).attributes}
    ]
    if not found:
        return None
    path, name = chance.choice(found)
    new = put(plan, (*path, "name"), name)
    return new, changed(plan, new, path)


def parts(plan: Plan, names: Names, chance: Random) -> Made:
    """Other parts of a fused projection: another number, another order, one less."""
    rules = [path for path in paths(plan, Rule) if at(plan, path).parts]
    if not rules:
        return None
    path = (*chance.choice(rules), "parts")
    old: tuple[Part, ...] = at(plan, path)
    several = len(old) > 1
    kind = chance.randrange(4) if several else 3
    i = chance.randrange(len(old))
    if kind == 0:
        new = old[:i] + old[i + 1 :]
    elif kind == 1:
        new = tuple(chance.sample(old, len(old)))
    elif kind == 2:
        new = (*old[:i], Part(old[i - 1].size, old[i].name), *old[i + 1 :])
    else:
        new = (*old[:i], Part(_number(old[i].size, names, chance), old[i].name), *old[i + 1 :])
    if new == old:
        return None
    made = put(plan, path, new)
    return made, changed(plan, made, path)


def scaled_parts(plan: Plan, names: Names, chance: Random) -> Made:
    """Parts that are all twice as large: their proportions count."""
    rules = [path for path in paths(plan, Rule) if len(at(plan, path).parts) > 1]
    if not rules:
        return None
    path = (*chance.choice(rules), "parts")
    new = put(plan, path, tuple(Part(Binary("*", p.size, Const(2)), p.name) for p in at(plan, path)))
    return new, changed(plan, new, path)


def _number(old: Expr, names: Names, chance: Random) -> Expr:
    """Another number near an expression."""
    axis = old.right if isinstance(old, Binary) and old.op == "//" else Const(2)
    facts = [n for n, value in names.facts.items() if type(value) is int and n not in set(old.names())]
    found: list[Expr] = [Binary("*", old, Const(2)), Binary("//", old, axis), Const(1)]
    if isinstance(old, Binary):
        found += [old.left, old.left, Binary("*", old.left, old.right)]
    if isinstance(old, Const) and not isinstance(old.value, bool):
        found += [Const(old.value + 1), Const(max(1, old.value - 1))] * 2
    if facts:
        found.append(Binary("//", Name(chance.choice(facts)), axis))
    return chance.choice([expr for expr in found if expr != old])


def option(plan: Plan, names: Names, chance: Random) -> Made:
    """Another default of an option."""
    if not plan.options:
        return None
    path: Path = ("options", chance.randrange(len(plan.options)))
    old: Option = at(plan, path)
    value: Value = not old.value if isinstance(old.value, bool) else old.value + chance.choice((-1, 1))
    new = put(plan, path, with_(old, value=value))
    return new, changed(plan, new, path)


def _conditions(plan: Plan) -> list[Path]:
    """Entries and lets that stand under a condition."""
    return [(*path, "when") for path in _may_have_one(plan) if at(plan, path).when is not None]


def _may_have_one(plan: Plan) -> list[Path]:
    return [path for path in paths(plan, object) if hasattr(at(plan, path), "when")]


def drop_when(plan: Plan, names: Names, chance: Random) -> Made:
    """An entry whatever its condition."""
    found = [path for path in _conditions(plan) if path[0] == "blocks"]
    if not found:
        return None
    path = chance.choice(found)
    new = put(plan, path, None)
    return new, changed(plan, new, path)


def turn_when(plan: Plan, names: Names, chance: Random) -> Made:
    """The contrary of a condition."""
    found = _conditions(plan)
    if not found:
        return None
    path = chance.choice(found)
    new = put(plan, path, contrary(at(plan, path)))
    return new, changed(plan, new, path)


def contrary(condition: Expr) -> Expr:
    """`not` a condition, without two of them."""
    if isinstance(condition, Unary) and condition.op == "not":
        return condition.operand
    return Unary("not", condition)


def add_when(plan: Plan, names: Names, chance: Random) -> Made:
    """A condition where there is none: a switch of the plan, a fact of the model."""
    found = [path for path in _may_have_one(plan) if path[0] == "blocks" and at(plan, path).when is None]
    switches = [o.name for o in plan.options if isinstance(o.value, bool)]
    switches += [n for n, value in names.facts.items() if isinstance(value, bool)]
    if not found or not switches:
        return None
    path = (*chance.choice(found), "when")
    name = Name(chance.choice(switches))
    new = put(plan, path, chance.choice((name, Unary("not", name))))
    return new, changed(plan, new, path)


def split_when(plan: Plan, names: Names, chance: Random) -> Made:
    """`when` the axis is split at all: a block does nothing on an axis of size 1."""
    found = [
        (*path, "rules", i)
        for path in paths(plan, TensorBlock)
        for i, rule in enumerate(at(plan, path).rules)
        if rule.when is None and not rule.override
    ]
    if not found:
        return None
    path = (*chance.choice(found), "when")
    new = put(plan, path, Binary(">", Name(at(plan, path[:2]).axis), Const(1)))
    return new, changed(plan, new, path)


def drop_require(plan: Plan, names: Names, chance: Random) -> Made:
    if not plan.requires:
        return None
    path: Path = ("requires", chance.randrange(len(plan.requires)))
    return drop(plan, path), line(at(plan, path))
