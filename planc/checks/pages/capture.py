"""A model that cannot be captured.

A model is run once on tensors that have shapes and no numbers. It cannot be run so where
its code looks at the numbers of a tensor (`.item()`, `if tensor.any():`, a boolean mask),
where an operation has no fake version, or where the model raises with the inputs that it
was given. The note says which module and which operation it was, and what it raised.

Wrong:

    planc capture model.py:looks

Right:

    planc capture model.py:computes

File model.py:

    import torch

    class Looks(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    class Computes(torch.nn.Module):
        def forward(self, x):
            return torch.where(x.sum() > 0, x, -x)

    def looks():
        return Looks(), torch.empty(2, 4)

    def computes():
        return Computes(), torch.empty(2, 4)
"""
