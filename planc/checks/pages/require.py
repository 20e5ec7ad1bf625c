"""A required condition that does not hold.

`require` states what must hold for axes, options and the model's configuration, and why. planc
decides conditions on the configuration when a model is given.

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
