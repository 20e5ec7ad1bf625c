"""An operation mixes entries of the batch, which a data axis splits.

On the axis of an `fsdp` block each rank computes a part of the batch, and gradients are
averaged. That is the gradient of the whole batch only if each entry is computed by itself.
Statistics of the batch (BatchNorm in training), its mean, and losses that compare entries
with each other see a part of it on each rank: the model that is trained is another one.
Such a model is right on one device, or with code that communicates by itself.

Wrong (planc check --model batches.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        root
    }

Right (planc check --model pooled.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        root
    }
"""
