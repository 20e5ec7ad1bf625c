"""A value leaves the model that is not whole.

The code that calls the model takes what it returns for the whole result: a loss on half of
the vocabulary is a number, and a wrong one. What is split leaves so only if the plan says
it: logits for `loss vocab_parallel`, or a result at which an `outputs(...)` of the model
itself does.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        head  colwise
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        head  colwise
        loss  vocab_parallel
    }
"""
