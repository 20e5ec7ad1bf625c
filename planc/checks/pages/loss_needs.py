"""The loss does not get the layout that it needs.

`loss vocab_parallel` computes the cross entropy on logits that stay split over the
vocabulary: it sums the exponentials of all slices, and finds the logit of the right word
on the rank that has it. Given whole logits it would count every word once for each rank.

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
