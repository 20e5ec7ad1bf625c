"""A world of devices that the mesh does not fill.

The sizes of the axes, multiplied, are the number of devices. One axis without a
size takes what the others leave, where that is a whole number.

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
