"""The logits are gathered, though the loss could take them sharded.

The logits are the largest value of a language model: batch x sequence x vocabulary. After a
gather every rank holds all of them, and their gradient. `loss vocab_parallel` uses logits that
are sharded along the vocabulary, and communicates a few numbers for each position.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        head  colwise  -> replicate
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        head  colwise
        loss  vocab_parallel
    }
"""
