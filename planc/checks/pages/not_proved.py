"""The proof cannot tell whether this is right.

planc has a rule for each operation that it understands, and never guesses: where it meets
another operation, or one used in a way that its rule does not cover, it says so, takes the
result for unknown, and goes on. What depends on that result is not judged. The plan may be
right; the exit status is 3, neither that of a proof nor that of a fault.

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
