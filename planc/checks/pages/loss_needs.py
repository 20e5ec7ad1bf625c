"""The loss gets logits in another layout than it needs.

`loss vocab_parallel` computes the cross entropy of logits that are sharded along the
vocabulary: it sums the exponentials of all shards, and takes the logit of the label from the
rank that holds it. From replicated logits it would count every word once for each rank.

Wrong (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        embed  rowwise
        loss   vocab_parallel
    }

Right (planc check --model lm.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        embed  rowwise
        head   colwise
        loss   vocab_parallel
    }
"""
