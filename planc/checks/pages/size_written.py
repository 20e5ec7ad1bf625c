"""The model's code contains a size that no rank has.

`q.view(batch, length, self.n_heads, -1)` asks for all heads, where a rank holds only some of
them: the view fails when the model runs, or it mixes pieces of heads. Code with -1 in place of
the number of heads works as it is. Otherwise the plan sets the attribute to the local number:
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
