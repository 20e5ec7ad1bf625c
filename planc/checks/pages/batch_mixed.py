"""An operation mixes entries of the batch, which a data axis splits.

On the axis of an `fsdp` block each rank computes its part of the batch, and FSDP averages the
gradients. The average is the gradient of the full batch if the model computes each sample by
itself, and may take means over the batch as its loss: the mean of the ranks' means is the mean,
and so is a sum of such means, or one times a number that all ranks have. The product or the
square of means, a sum over the batch, and a mean that divides by a count of its own (under a
mask, or with class weights) are not. Nor are batch statistics (BatchNorm in training) and
losses that compare samples: each rank sees one part of the batch, and trains another model.
Compute such a loss outside of the model, train on one device, or write
`accept L709 at PATTERN "REASON"` where the statistics of each rank's part are meant.

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
