"""Several modules each gather the same value.

q, k and v have the same input. Three colwise rules gather it three times, or all-reduce its
gradient three times; a boundary at the module around them does so once. The numbers are the
same, with a third of the communication.

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
