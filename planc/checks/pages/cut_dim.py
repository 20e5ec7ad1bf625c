"""A split dim is cut so that ranks hold no whole part.

A projection gives (batch, sequence, heads * size), and the code views it as (batch,
sequence, heads, size). Cut into more ranks than there are heads, a rank holds a piece of
a head, and the view fails or, worse, makes heads of other numbers; with kv heads, fewer
than heads, that comes first. The same holds of any dim that is taken apart or merged with
others, and of a boundary that cuts what its ranks cannot share evenly.

Wrong (planc check --model lm.graph.json.gz --tp 8):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }

Right (planc check --model lm.graph.json.gz --tp 4):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }
"""
