"""Operands have incompatible layouts.

The operands of one operation are sharded along the same dim of its result, or replicated. A
sharded input does not fit a replicated weight: usually the module after a colwise one has no
rule, and needs `rowwise`. If a shard of the sequence is added to the full sequence, the two
inputs of the sum end in different layouts: one rule has `-> shard(1)`, and another one lacks
it.

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
