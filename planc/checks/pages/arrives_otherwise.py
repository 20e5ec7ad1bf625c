"""A value arrives in another layout than the plan declares.

The model that runs trusts what a rule declares of its input and does not check it. If the rule
declares a shard as replicated, the module takes that shard for the full value; if it declares
a replicated value as a shard, the module gathers copies of it. Shapes seldom prevent this, so
the model trains on wrong numbers. A style declares its input too: colwise expects a replicated
input unless the rule has `IN ->`, rowwise an input that is sharded along its last dim.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.mlp       inputs(0: shard(1) -> replicate)
        blocks.*.mlp.up    colwise
        blocks.*.mlp.down  rowwise
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.mlp       inputs(0: replicate -> replicate)
        blocks.*.mlp.up    colwise
        blocks.*.mlp.down  rowwise
    }
"""
