"""A `remove` that removes no rule.

`remove PATTERN` drops the rule of the base plan that has exactly this pattern. To drop a part
of a rule, remove it and write the other part again.

Wrong (base.plan is the plan to extend):

    extends "base.plan"
    tensor tp {
        remove lm_hed
    }

Right:

    extends "base.plan"
    tensor tp {
        remove lm_head
    }

File base.plan:

    mesh tp
    tensor tp {
        lm_head     colwise
        model.norm  sequence
    }
"""
