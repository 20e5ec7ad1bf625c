"""Layouts that do not fit meet in an operation.

The operands of one operation are split along the same dim of it, or not at all. A split
input and a whole weight do not fit: mostly the module behind a colwise one has no rule,
and needs `rowwise`. Where a slice of the sequence is added to all of it, the two ways
into the sum end in different layouts: a rule has `-> shard(1)` too many, or too few.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }
"""
