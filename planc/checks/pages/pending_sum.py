"""A partial value is used before its all-reduce.

`partial` says that the value is the sum of what the ranks hold, and that no rank has reduced
it yet. Linear operations keep it valid, such as a product with a constant. A norm, an
activation or dropout of one summand is no part of the result, and every rank adds a bias or a
residual once, so the sum contains it several times. The numbers are wrong and nothing fails.
`rowwise` reduces its output, and adds its bias once, after the reduction.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise  -> partial
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise  -> replicate
    }
"""
