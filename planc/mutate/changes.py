"""The table of changes: one row each."""

from __future__ import annotations

from planc.mutate import blocks, facets, groups, layouts, numbers, patterns, rules, same, styles
from planc.mutate.records import Kind

CHANGES = (
    # which rules there are
    Kind("drop-rule", 5, rules.drop_rule),
    Kind("add-rule", 8, rules.add_rule),
    Kind("override-rule", 4, rules.override_rule),
    Kind("exchange-rules", 1, rules.exchange_rules),
    Kind("duplicate-rule", 3, rules.duplicate_rule, same=True),
    Kind("move-rule", 2, rules.move_rule, same=True),
    Kind("shuffle-rules", 2, rules.shuffle_rules, same=True),
    Kind("drop-inside", 3, groups.drop_inside),
    Kind("push-port", 3, groups.push_port),
    # styles, and what stands beside them
    Kind("swap-style", 5, styles.swap_style),
    Kind("exchange-styles", 2, styles.exchange_styles),
    Kind("drop-style", 2, styles.drop_style),
    Kind("drop-facet", 3, facets.drop_facet),
    Kind("add-port", 4, facets.add_port),
    Kind("add-attribute", 1, facets.add_attribute),
    # layouts
    Kind("arrow", 6, layouts.arrow),
    Kind("port", 5, layouts.port),
    Kind("turn-port", 1, layouts.port_both),
    Kind("port-key", 1, layouts.port_key),
    Kind("let-layout", 3, layouts.let),
    Kind("turn-let", 1, layouts.let_turned),
    Kind("let-side", 3, layouts.inline),
    Kind("param", 3, layouts.param),
    Kind("add-param", 2, layouts.add_param),
    Kind("loss", 2, layouts.loss),
    Kind("gather-logits", 3, layouts.gather_logits),
    # patterns
    Kind("narrow", 6, patterns.narrow),
    Kind("widen", 4, patterns.widen),
    Kind("rename", 3, patterns.rename),
    Kind("parent", 1, patterns.parent),
    Kind("child", 1, patterns.child),
    Kind("class", 2, patterns.of_class),
    Kind("spell", 4, patterns.spell),
    # numbers and conditions
    Kind("attribute", 3, numbers.attribute),
    Kind("attribute-name", 1, numbers.attribute_name),
    Kind("parts", 3, numbers.parts),
    Kind("option", 2, numbers.option),
    Kind("drop-when", 2, numbers.drop_when),
    Kind("turn-when", 2, numbers.turn_when),
    Kind("add-when", 3, numbers.add_when),
    Kind("drop-require", 2, numbers.drop_require),
    # units, regions, the mesh
    Kind("drop-block", 2, blocks.drop_block),
    Kind("drop-unit", 2, blocks.drop_unit),
    Kind("add-unit", 3, blocks.add_unit),
    Kind("split-unit", 1, blocks.split_unit),
    Kind("join-units", 1, blocks.join_units),
    Kind("unit-part", 1, blocks.unit_part),
    Kind("reshard", 2, blocks.reshard),
    Kind("setting", 2, blocks.setting),
    Kind("drop-region", 1, blocks.drop_region),
    Kind("add-region", 2, blocks.add_region),
    Kind("recompute-mode", 2, blocks.mode),
    Kind("swap-axes", 2, blocks.swap_axes),
    # the same in other words
    Kind("say-default", 3, layouts.say_default, same=True),
    Kind("own-class", 3, patterns.own_class, same=True),
    Kind("optional", 2, patterns.optional, same=True),
    Kind("scale-parts", 2, numbers.scaled_parts, same=True),
    Kind("split-when", 3, numbers.split_when, same=True),
    Kind("split-choice", 3, same.split_choice, same=True),
    Kind("split-star", 3, same.split_star, same=True),
    Kind("spell-modules", 3, same.spell_modules, same=True),
    Kind("split-conditions", 3, same.split_conditions, same=True),
    Kind("inline-layout", 3, same.inline_layout, same=True),
    Kind("inline-pattern", 2, same.inline_pattern, same=True),
    Kind("inline-let", 1, same.inline_let, same=True),
)
