"""The model returns a value that is not full on every rank.

The code that calls the model takes what the model returns for the full result. A loss on half
of the vocabulary is a number, and a wrong one. A sharded result leaves the model only if the
plan says so: logits with `loss vocab_parallel`, or a result with `outputs(...)` in a rule for
the model itself.

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
