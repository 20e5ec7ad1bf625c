"""A `remove` that removes no rule.

`remove PATTERN` drops a rule of the plan that this one extends, named by its whole
pattern. To drop a part of it, remove it and write the rest again.

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
