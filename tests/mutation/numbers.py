"""Changes of numbers and conditions: attributes, parts, `when`, `require`, options."""

from __future__ import annotations

from random import Random

from planc.ir.blocks import Attribute, Part, Rule, TensorBlock
from planc.ir.diagnostic import FieldPath
from planc.ir.expr import Binary, Const, Expr, ExprValue, Name, Unary
from planc.ir.plan import Option, Plan
from tests.mutation.describe import describe_change, entry_text
from tests.mutation.module_names import ModuleNames
from tests.mutation.record_edits import find_paths, get_at, remove_at, replace_at, replace_fields
from tests.mutation.records import MutationResult


def change_attribute(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Another value of an attribute: not shared out, shared out twice, of another fact."""
    found = find_paths(plan, Attribute)
    if not found:
        return None
    path = (*rng.choice(found), "value")
    new = replace_at(plan, path, _nearby_expression(get_at(plan, path), names, rng))
    return new, describe_change(plan, new, path)


def change_attribute_name(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The value of one attribute for another one that the module's code reads."""
    found = [
        (path, name)
        for path in find_paths(plan, Attribute)
        for module in names.matches(get_at(plan, path[:4]).pattern, plan)[:1]
        for name in names.attributes(module)
        if name not in {declared.name for declared in get_at(plan, path[:4]).attributes}
    ]
    if not found:
        return None
    path, name = rng.choice(found)
    new = replace_at(plan, (*path, "name"), name)
    return new, describe_change(plan, new, path)


def change_parts(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Other parts of a fused projection: another number, another order, one less."""
    rules = [path for path in find_paths(plan, Rule) if get_at(plan, path).parts]
    if not rules:
        return None
    path = (*rng.choice(rules), "parts")
    old: tuple[Part, ...] = get_at(plan, path)
    several = len(old) > 1
    kind = rng.randrange(4) if several else 3
    i = rng.randrange(len(old))
    if kind == 0:
        new = old[:i] + old[i + 1 :]
    elif kind == 1:
        new = tuple(rng.sample(old, len(old)))
    elif kind == 2:
        new = (*old[:i], Part(old[i - 1].size, old[i].name), *old[i + 1 :])
    else:
        new = (*old[:i], Part(_nearby_expression(old[i].size, names, rng), old[i].name), *old[i + 1 :])
    if new == old:
        return None
    made = replace_at(plan, path, new)
    return made, describe_change(plan, made, path)


def scale_parts(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Parts that are all twice as large: their proportions count."""
    rules = [path for path in find_paths(plan, Rule) if len(get_at(plan, path).parts) > 1]
    if not rules:
        return None
    path = (*rng.choice(rules), "parts")
    new = replace_at(
        plan, path, tuple(Part(Binary("*", p.size, Const(2)), p.name) for p in get_at(plan, path))
    )
    return new, describe_change(plan, new, path)


def _nearby_expression(old: Expr, names: ModuleNames, rng: Random) -> Expr:
    """Another number near an expression."""
    axis = old.right if isinstance(old, Binary) and old.op == "//" else Const(2)
    facts = [n for n, value in names.facts.items() if type(value) is int and n not in set(old.names())]
    found: list[Expr] = [Binary("*", old, Const(2)), Binary("//", old, axis), Const(1)]
    if isinstance(old, Binary):
        found += [old.left, old.left, Binary("*", old.left, old.right)]
    if isinstance(old, Const) and not isinstance(old.value, bool):
        found += [Const(old.value + 1), Const(max(1, old.value - 1))] * 2
    if facts:
        found.append(Binary("//", Name(rng.choice(facts)), axis))
    return rng.choice([expr for expr in found if expr != old])


def change_option(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Another default of an option."""
    if not plan.options:
        return None
    path: FieldPath = ("options", rng.randrange(len(plan.options)))
    old: Option = get_at(plan, path)
    value: ExprValue = not old.value if isinstance(old.value, bool) else old.value + rng.choice((-1, 1))
    new = replace_at(plan, path, replace_fields(old, value=value))
    return new, describe_change(plan, new, path)


def _conditions(plan: Plan) -> list[FieldPath]:
    """Entries and lets that stand under a condition."""
    return [(*path, "when") for path in _conditional(plan) if get_at(plan, path).when is not None]


def _conditional(plan: Plan) -> list[FieldPath]:
    return [path for path in find_paths(plan, object) if hasattr(get_at(plan, path), "when")]


def drop_when(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """An entry whatever its condition."""
    found = [path for path in _conditions(plan) if path[0] == "blocks"]
    if not found:
        return None
    path = rng.choice(found)
    new = replace_at(plan, path, None)
    return new, describe_change(plan, new, path)


def negate_when(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The contrary of a condition."""
    found = _conditions(plan)
    if not found:
        return None
    path = rng.choice(found)
    new = replace_at(plan, path, negate(get_at(plan, path)))
    return new, describe_change(plan, new, path)


def negate(condition: Expr) -> Expr:
    """`not` a condition, without two of them."""
    if isinstance(condition, Unary) and condition.op == "not":
        return condition.operand
    return Unary("not", condition)


def add_when(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A condition where there is none: a switch of the plan, a fact of the model."""
    found = [path for path in _conditional(plan) if path[0] == "blocks" and get_at(plan, path).when is None]
    switches = [o.name for o in plan.options if isinstance(o.value, bool)]
    switches += [n for n, value in names.facts.items() if isinstance(value, bool)]
    if not found or not switches:
        return None
    path = (*rng.choice(found), "when")
    name = Name(rng.choice(switches))
    new = replace_at(plan, path, rng.choice((name, Unary("not", name))))
    return new, describe_change(plan, new, path)


def add_axis_condition(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """`when` the axis is split at all: a block does nothing on an axis of size 1."""
    found = [
        (*path, "rules", i)
        for path in find_paths(plan, TensorBlock)
        for i, rule in enumerate(get_at(plan, path).rules)
        if rule.when is None and not rule.override
    ]
    if not found:
        return None
    path = (*rng.choice(found), "when")
    new = replace_at(plan, path, Binary(">", Name(get_at(plan, path[:2]).axis), Const(1)))
    return new, describe_change(plan, new, path)


def drop_require(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    if not plan.requires:
        return None
    path: FieldPath = ("requires", rng.randrange(len(plan.requires)))
    return remove_at(plan, path), entry_text(get_at(plan, path))
