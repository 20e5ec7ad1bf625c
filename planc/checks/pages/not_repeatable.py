"""A recomputed region does not do the same in its second run.

The forward pass of a region runs again in the backward pass, on the same arguments, with the random numbers of the
first run. It must find what the first run found. So what it reads from outside may not change in between: neither by
the region itself, as an argument that it scales in place, nor by code that runs after it. Memory that the
region overwrites before it reads it is fine, and so is everything that it makes itself. Nor may it find what the first run has
left, as an entry in a dictionary that the first block fills: the capture runs such code again, and compares. Write `x = x * 0.5`
in place of `x *= 0.5`, or leave the module out of the region.

A result that `save(...)` keeps is found again, so code may not change it in place: write `y = y.relu()` after a matmul whose
result is kept.

Buffers are put back for the second run, so batch norm and running means are fine; not in a region that is compiled, nor
with `save(...)`.

Wrong (planc check --model in_place.graph.json.gz):

    recompute { block }

Right (planc check --model in_place.graph.json.gz):

    recompute { block.mlp }
"""
