"""Attention sees a rank's slice of the sequence.

Every position attends to all others, or to those before it. If each rank holds a shard of the
sequence, attention sees that shard alone: the shapes fit, the loss falls for a while, and the
model never learns dependencies between shards. The sequence may be sharded between attention
layers. Gather it before attention, once for q, k and v, and let rowwise scatter it again
afterwards. Inside attention the ranks share the heads.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn            inputs(0: replicate -> shard(1)) outputs(0: shard(1) -> replicate)
        blocks.*.attn.{q,k,v,o}  sequence
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }
"""
