"""A gradient would stay in parts.

A whole parameter that is used beside a slice gets, on each rank, the gradient of that
slice alone. The forward pass is right, so the loss looks right at first; but each rank
updates its copy by a part of the gradient, and the copies drift from each other. The norms
of q and k in Qwen 3 see the heads of a rank only; a norm without a rule, where the
sequence is split, sees some of the positions. `replicate` and `sequence` sum such
gradients over the ranks. For a value, a boundary does: `inputs(0: replicate -> replicate)`.

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
