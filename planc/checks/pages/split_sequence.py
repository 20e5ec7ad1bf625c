"""Attention sees a split sequence.

Every position looks at every other one (before it). With a slice of the sequence on each
rank, attention looks at that slice alone: the shapes fit, the loss falls for a while, and
the model never learns what stands further apart. Between the layers the sequence may be
split; before attention it is brought together, once for q, k and v, and rowwise splits it
again behind. The heads are what the ranks share inside.

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
