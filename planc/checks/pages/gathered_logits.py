"""Logits are brought together that the loss could take as they are.

Logits are the largest value of a language model: batch x sequence x vocabulary. Gathered,
every rank holds all of them, and their gradient. `loss vocab_parallel` takes them as they
are, split over the vocabulary, and communicates a few numbers for each position.

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
