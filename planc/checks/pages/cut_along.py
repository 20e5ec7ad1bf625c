"""An operation needs all of a dim that is sharded.

A mean, a softmax, a norm or a maximum along a sharded dim computes its result from the shard
of each rank alone. A split or a chunk of a fused projection divides the columns of one rank as
if they were all columns: if q, k and v are sharded as one matrix, the first ranks hold nothing
but queries, and the shapes fit all the same. `packed_colwise(3)` shards each of three equal
parts by itself; `packed_colwise(q: 32, k: 8, v: 8)` does so for parts of different sizes.

Wrong (planc check --model fused.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn.qkv  colwise
        blocks.*.attn.o    rowwise
    }

Right (planc check --model fused.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn.qkv  packed_colwise(3)
        blocks.*.attn.o    rowwise
    }
"""
