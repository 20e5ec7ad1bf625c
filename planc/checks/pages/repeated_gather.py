"""One value is brought together several times.

q, k and v take the same input. Three colwise rules alone gather it three times, or sum its
gradient three times; a boundary at the module around them does it once. The numbers are
the same, the communication is a third.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }
"""
