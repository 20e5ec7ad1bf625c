"""An operation mixes entries of the batch, which a data axis splits.

On the axis of an `fsdp` block each rank computes its part of the batch, and FSDP averages the
gradients. The average is the gradient of the full batch only if the model computes each sample
by itself. Batch statistics (BatchNorm in training), a mean over the batch and losses that
compare samples see one part of the batch on each rank, so the ranks train another model. Train
such a model on one device, or let its code communicate.

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
