"""A value is gathered and then sliced again.

One module gathers its output, and the next one takes its own shard of it along the same dim:
the two boundaries undo each other, at the cost of a gather.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.norm2          sequence  replicate -> replicate
        blocks.*.mlp            inputs(0: replicate -> shard(1)) outputs(0: shard(1) -> replicate)
        blocks.*.mlp.{up,down}  sequence
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.norm2          sequence  replicate -> shard(1)
        blocks.*.mlp            outputs(0: shard(1) -> replicate)
        blocks.*.mlp.{up,down}  sequence
    }
"""
