"""An `accept` that accepts nothing.

`accept CODE at PATTERN "REASON"` silences one law at some modules: those whose own code breaks it,
as the report names them. A line that silences nothing is left over from another version of the
model, or its pattern is wrong, and it would hide a fault that comes later. On a mesh whose axes of
that kind have one rank, nothing can be broken, and the line is allowed. A pattern that ends in `?`
may match no module.

Wrong (planc check --model pooled.graph.json.gz --dp 2):

    mesh dp
    accept L709 at root "statistics of each rank's own batch"
    fsdp dp {
        root
    }

Right (planc check --model batches.graph.json.gz --dp 2):

    mesh dp
    accept L709 at norm "statistics of each rank's own batch"
    fsdp dp {
        root
    }
"""
