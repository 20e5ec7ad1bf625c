"""Changes of what stands beside a style: ports, parameters, attributes."""

from __future__ import annotations

from random import Random

from planc.blocks.tensor import Attribute, Rule
from planc.ir.expr import Binary, Const, Name
from planc.ir.plan import Plan
from planc.mutate.draw import draw_port
from planc.mutate.edit import at, drop, paths, put
from planc.mutate.names import Names
from planc.mutate.records import Made
from planc.mutate.saying import changed, line


def drop_facet(plan: Plan, names: Names, chance: Random) -> Made:
    """A port, a parameter or an attribute less; what would say nothing any more goes."""
    found = [
        (path, facet, i)
        for path in paths(plan, Rule)
        for facet in ("inputs", "outputs", "params", "attributes")
        for i in range(len(getattr(at(plan, path), facet)))
    ]
    if not found:
        return None
    path, facet, i = chance.choice(found)
    new = drop(plan, (*path, facet, i))
    if at(new, path).style is None and not has_facets(at(new, path)):
        return drop(plan, path), f"{line(at(plan, path))}, whole"
    return new, changed(plan, new, path)


def add_port(plan: Plan, names: Names, chance: Random) -> Made:
    """A change of layout more, beside what a rule says."""
    rules = paths(plan, Rule)
    if not rules:
        return None
    path, side = chance.choice(rules), chance.choice(("inputs", "outputs"))
    port, ports = draw_port(plan, chance), getattr(at(plan, path), side)
    if any(port.key == other.key for other in ports):
        return None
    new = put(plan, (*path, side), (*ports, port))
    return new, changed(plan, new, path)


def add_attribute(plan: Plan, names: Names, chance: Random) -> Made:
    """A number of a module's own that becomes a rank's share of it."""
    rules = [(path, name) for path in paths(plan, Rule) for name in _numbers(at(plan, path), names, plan)]
    if not rules:
        return None
    path, name = chance.choice(rules)
    number = names.modules[names.matched(at(plan, path).pattern, plan)[0]].attributes[name]
    value = Binary("//", Const(number), Name(at(plan, path[:2]).axis))
    new = put(plan, (*path, "attributes"), (*at(plan, path).attributes, Attribute(name, value)))
    return new, changed(plan, new, path)


def _numbers(rule: Rule, names: Names, plan: Plan) -> list[str]:
    """Attributes that the code of a rule's modules reads, and that the rule does not set."""
    said = {attribute.name for attribute in rule.attributes}
    modules = names.matched(rule.pattern, plan)[:1]
    return [n for m in modules for n in names.attributes(m) if n not in said]


def has_facets(rule: Rule) -> bool:
    return bool(rule.inputs or rule.outputs or rule.params or rule.attributes)
