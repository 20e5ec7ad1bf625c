"""Changes of what stands beside a style: ports, parameters, attributes."""

from __future__ import annotations

from random import Random

from planc.ir.blocks import Attribute, Rule
from planc.ir.expr import Binary, Const, Name
from planc.ir.plan import Plan
from tests.mutation.describe import describe_change, entry_text
from tests.mutation.module_names import ModuleNames
from tests.mutation.record_edits import find_paths, get_at, remove_at, replace_at
from tests.mutation.records import MutationResult
from tests.mutation.sampling import sample_port


def drop_facet(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A port, a parameter or an attribute less; what would say nothing any more goes."""
    found = [
        (path, facet, i)
        for path in find_paths(plan, Rule)
        for facet in ("inputs", "outputs", "params", "attributes")
        for i in range(len(getattr(get_at(plan, path), facet)))
    ]
    if not found:
        return None
    path, facet, i = rng.choice(found)
    new = remove_at(plan, (*path, facet, i))
    if get_at(new, path).style is None and not has_facets(get_at(new, path)):
        return remove_at(plan, path), f"{entry_text(get_at(plan, path))}, whole"
    return new, describe_change(plan, new, path)


def add_port(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A change of layout more, beside what a rule says."""
    rules = find_paths(plan, Rule)
    if not rules:
        return None
    path, side = rng.choice(rules), rng.choice(("inputs", "outputs"))
    port, ports = sample_port(plan, rng), getattr(get_at(plan, path), side)
    if any(port.key == other.key for other in ports):
        return None
    new = replace_at(plan, (*path, side), (*ports, port))
    return new, describe_change(plan, new, path)


def add_attribute(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A number of a module's own that becomes a rank's share of it."""
    rules = [
        (path, name)
        for path in find_paths(plan, Rule)
        for name in _settable_attributes(get_at(plan, path), names, plan)
    ]
    if not rules:
        return None
    path, name = rng.choice(rules)
    number = names.modules[names.matches(get_at(plan, path).pattern, plan)[0]].attributes[name]
    value = Binary("//", Const(number), Name(get_at(plan, path[:2]).axis))
    new = replace_at(plan, (*path, "attributes"), (*get_at(plan, path).attributes, Attribute(name, value)))
    return new, describe_change(plan, new, path)


def _settable_attributes(rule: Rule, names: ModuleNames, plan: Plan) -> list[str]:
    """Attributes that the code of a rule's modules reads, and that the rule does not set."""
    declared = {attribute.name for attribute in rule.attributes}
    modules = names.matches(rule.pattern, plan)[:1]
    return [n for m in modules for n in names.attributes(m) if n not in declared]


def has_facets(rule: Rule) -> bool:
    return bool(rule.inputs or rule.outputs or rule.params or rule.attributes)
