"""Several axes without a size, where the world size can determine only one.

Wrong (planc check --world-size 16):

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
