"""A condition that the plan requires, and that does not hold.

`require` states what must be true of axes, options and the model's configuration,
with the reason. Conditions on facts of the model are decided when it is given.

Wrong (planc check --tp 16):

    mesh tp
    require tp <= 8  "a node has 8 devices"
    tensor tp {
        lm_head  colwise
    }

Right (planc check --tp 8):

    mesh tp
    require tp <= 8  "a node has 8 devices"
    tensor tp {
        lm_head  colwise
    }
"""
