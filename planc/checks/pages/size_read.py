"""The model's code reads a size that differs between ranks.

`x.sum(1) / x.shape[1]` is a mean; on a shard of the sequence it divides by the length of the
shard. `arange(x.shape[1])` counts positions from 0 on every rank. Nothing fails, and the
numbers are wrong. Llama in transformers computes its positions and its mask from the length of
the embedding's output, so the sequence can be sharded after the embedding, at the first layer.
A size that only shapes a view of the same tensor is allowed.

Wrong (planc check --model pooled.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        embed     rowwise  -> shard(1)
        norm      sequence
        mlp       inputs(0: shard(1) -> replicate)
        mlp.up    colwise
        mlp.down  rowwise  -> shard(1)
    }

Right (planc check --model pooled.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        embed     rowwise
        mlp       inputs(0: replicate -> replicate)
        mlp.up    colwise
        mlp.down  rowwise
    }
"""
