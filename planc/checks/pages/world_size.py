"""A world size that the mesh does not fill.

The product of the axis sizes is the number of devices. One axis without a size takes the
quotient of the world size and the other axes, if that is a whole number.

Wrong (planc check --world-size 12 --tp 8):

    mesh dp, tp
    tensor tp {
        lm_head  colwise
    }
    fsdp dp {
        root
    }

Right (planc check --world-size 16 --tp 8):

    mesh dp, tp
    tensor tp {
        lm_head  colwise
    }
    fsdp dp {
        root
    }
"""
