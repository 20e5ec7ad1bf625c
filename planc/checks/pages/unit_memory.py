"""Memory of a parameter is used after its FSDP unit has freed it.

FSDP frees the gathered parameters of a unit when its module returns, and gathers them again in the backward pass
when a gradient arrives at the module's result. A view of a parameter that the module returns, or leaves in an
attribute, lies in the freed memory. So does what autograd has saved for a value that leaves the module otherwise
than by its result, such as an auxiliary loss in an attribute: its gradient arrives before the parameters are back.
Return such values, or copies in place of views; or `keep` the unit gathered until its backward pass.

A unit's arguments pass a node of autograd by which FSDP learns that their gradients are there. Autograd refuses
to change such an argument in place, or a view of it that the unit returns: write `x = x + 1` there in place of `x += 1`.

FSDP learns by a hook on a unit's result that gradients arrive. Where the result is a view, as of `nn.Linear` with a bias,
code that changes it in place makes autograd drop the hook: write `y = y + 1` there, or `keep` the unit.

Wrong (planc check --model auxiliary.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        block
        root
    }

Right (planc check --model auxiliary.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        block  keep
        root
    }
"""
