"""An operation that planc can neither prove nor refute.

planc has a rule for each operation that it knows, and it never guesses. At an operation
without a rule, or used in a way that its rule does not cover, planc reports this law, takes
the layout of the result as unknown, and goes on. It does not judge what depends on that
result. The plan may be right: the exit status is 3, which stands neither for a proof nor for
an error. If you know that each rank may run the operation on its own part, write
`accept L713 at PATTERN "REASON"`.

Wrong (planc check --model fourier.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        mlp       inputs(0: replicate -> replicate)
        mlp.up    colwise
        mlp.down  rowwise
    }

Right (planc check --model pooled.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        mlp       inputs(0: replicate -> replicate)
        mlp.up    colwise
        mlp.down  rowwise
    }
"""
