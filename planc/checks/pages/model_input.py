"""An input that the model does not take.

`--input NAME=DTYPE[d0,d1,...]` names an argument of the model's `forward`, or the position of
one, and gives the dtype and the shape of its tensor.

Wrong:

    planc capture model.py:build --input y=float32[2,4]

Right:

    planc capture model.py:build --input x=float32[2,4]

File model.py:

    import torch

    class Doubled(torch.nn.Module):
        def forward(self, x):
            return x * 2

    def build():
        return Doubled()
"""
