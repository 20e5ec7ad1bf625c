"""Two blocks of one kind on one axis.

Write them as one block, so that all rules of the axis stand in one place.

Wrong:

    mesh tp
    tensor tp {
        lm_head  colwise
    }
    tensor tp {
        model.norm  sequence
    }

Right:

    mesh tp
    tensor tp {
        lm_head     colwise
        model.norm  sequence
    }
"""
