"""A bracket or a block that is never closed.

Close a round bracket before the next statement, and a block before the next block.

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
