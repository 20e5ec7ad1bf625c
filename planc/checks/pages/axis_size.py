"""A size that an axis cannot have.

A size is a whole number of at least 1. If the plan fixes the size of an axis, the command line
cannot change it. An axis that the plan does not declare can only be given the size 1.

Wrong (planc check --tp 8):

    mesh tp=4
    tensor tp {
        lm_head  colwise
    }

Right (planc check --tp 8):

    mesh tp
    tensor tp {
        lm_head  colwise
    }
"""
