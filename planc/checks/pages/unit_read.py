"""A parameter is read while its FSDP unit does not run.

FSDP gathers the parameters of a unit when one of its modules is called, and frees them when the call returns.
In between they are whole; at all other times each rank has its shard alone. Code outside of the unit that reads
such a parameter, as `linear(x, self.embed.weight)` does, or calls the module by its `forward` or by a helper
method, which bypasses FSDP's hooks, gets the shard. Put the reader and the parameter into one unit, leave the
parameter to `root`, which stays gathered, or `keep` the unit gathered if it runs before the parameter is read.

Wrong (planc check --model weight_read.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        embed
        block
        root
    }

Right (planc check --model weight_read.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        block
        root
    }
"""
