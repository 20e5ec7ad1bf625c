"""The model's code reads a size that is a rank's own.

`x.sum(1) / x.shape[1]` is a mean; on a slice of the sequence it divides by the length of
the slice. `arange(x.shape[1])` counts positions from 0 on every rank. Nothing fails, and
the numbers are wrong. The code of Llama in transformers makes its positions and its mask
from the length of what the embedding gives, so the sequence is split after the embedding,
at the first layer. A size that only shapes a view of the same tensor is no fault.

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
