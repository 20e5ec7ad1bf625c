"""A model that planc cannot capture.

planc runs the model once on fake tensors, which have shapes and no values. This fails if the
model's code reads values (`.item()`, `if tensor.any():`, a boolean mask), if an operation has
no fake implementation, or if the model raises with the inputs that it gets. The notes name the
module and the operation, and quote what was raised.

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
