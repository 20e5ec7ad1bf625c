"""A value arrives in another layout than the rule says.

What a rule says of its input is believed, not checked, when the model runs: a slice that
is declared whole is taken for the whole value, and a whole value that is declared a slice
is gathered with its copies. Most of the time no shape stands in the way, so the model
trains on wrong numbers. A style says what arrives too: colwise takes a whole input unless
`IN ->` says otherwise, rowwise one that is split along its last dim.

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
