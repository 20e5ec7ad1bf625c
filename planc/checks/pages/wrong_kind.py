"""A name used as something that it is not.

A let names a pattern or a layout; options and axes stand for values. Use a pattern to name
modules, a layout beside `->`, and a value in an expression.

Wrong:

    mesh tp
    let block = model.layers.*
    tensor tp {
        model.norm  rowwise -> block
    }

Right:

    mesh tp
    let stream = shard(1)
    tensor tp {
        model.norm  rowwise -> stream
    }
"""
