"""A let that refers to itself.

Wrong:

    mesh tp
    let a = b.layers
    let b = a.model
    tensor tp {
        a.lm_head  colwise
    }

Right:

    mesh tp
    let a = b.layers
    let b = model
    tensor tp {
        a.lm_head  colwise
    }
"""
