"""A plan that extends itself, directly or through other plans.

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
