"""A pending sum is used as if it were the value.

`partial` says that the value is the sum of what the ranks hold, and that nobody has taken
it yet. It may pass through what is linear in it, as a product with a constant. A norm, an
activation or dropout of a part is no part of the result; what is added to the parts, as a
bias or the way past the module, is added once by every rank. The numbers are wrong and
nothing fails. `rowwise` takes the sum at its output, and adds its bias once, after it.

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
