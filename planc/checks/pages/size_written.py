"""The model's code says a size that no rank has.

`q.view(batch, length, self.n_heads, -1)` asks for all heads, where a rank has its share of
them: the view fails when the model runs, or puts pieces of heads together. Code that says
-1 there is right as it stands. Otherwise the plan gives the module its share:
`attributes(n_heads: n_heads // tp)`, with a number or a fact of the model's configuration.

Wrong (planc check --model counted.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }

Right (planc check --model counted.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        blocks.*.attn          inputs(0: replicate -> replicate) attributes(n_heads: 4 // tp)
        blocks.*.attn.{q,k,v}  colwise
        blocks.*.attn.o        rowwise
    }
"""
