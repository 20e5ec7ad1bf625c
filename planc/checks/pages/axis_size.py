"""A size that an axis cannot have.

Sizes are whole numbers from 1 on. A size that the plan fixes is not changed from
outside, and an axis that the plan does not have takes no size but 1.

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
