"""A plan that extends itself, through others or at once.

Wrong:

    extends "base.plan"

File base.plan:

    extends "plan.plan"

Right:

    mesh tp
    tensor tp {
        lm_head  colwise
    }
"""
