"""Two blocks of one kind for one axis.

Written as one, what they say together is seen together.

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
