"""A bracket or a block that is never closed.

A round bracket closes before the next statement, a block before the next block.

Wrong:

    mesh tp
    tensor tp {
        model.norm  inputs(0: shard(1) -> replicate
        lm_head     colwise
    }

Right:

    mesh tp
    tensor tp {
        model.norm  inputs(0: shard(1) -> replicate)
        lm_head     colwise
    }
"""
