"""A dim cannot be sharded this way.

A shard boundary must not cut through a part that one rank needs as it is. A projection returns
(batch, sequence, heads * head_size), and the code views it as (batch, sequence, heads,
head_size). With more ranks than heads, each rank holds a piece of a head: the view fails, or
it builds heads from numbers of different heads. Key and value heads, of which there are fewer,
reach that limit first. The same holds for every dim that a view divides or merges, and for a
boundary that shards a dim that the ranks cannot share evenly.

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
