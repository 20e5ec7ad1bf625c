"""An operation works along a dim that is split.

A mean, a softmax, a norm or a maximum along a split dim takes each rank's slice for all
there is. A split or a chunk of a fused projection takes a rank's columns apart as if they
were all: cut in one piece, q, k and v in one leave the first ranks with queries alone,
and the shapes fit all the same. `packed_colwise(3)` cuts each of the three parts by
itself; `packed_colwise(q: 32, k: 8, v: 8)` does it where their sizes differ.

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
