"""The gradient is never all-reduced: ranks would drift apart.

If a replicated parameter is multiplied with a sharded value, each rank computes the gradient
of its shard alone. The forward pass is right, so the loss looks right at first. But each rank
updates its copy of the parameter with a different part of the gradient, and the copies drift
apart. In Qwen 3 the norms of q and k see only the heads of their rank; a norm without a rule
sees only some positions if the sequence is sharded. `replicate` and `sequence` all-reduce such
gradients. The gradient of an activation is all-reduced by a boundary:
`inputs(0: replicate -> replicate)`.

Wrong (planc check --model normed.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }

Right (planc check --model normed.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn             inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}     colwise
        blocks.*.attn.{q,k}_norm  replicate
        blocks.*.attn.o           rowwise
    }
"""
