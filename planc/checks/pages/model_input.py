"""An input that the model does not take.

`--input NAME=DTYPE[d0,d1,...]` names an argument of the model's `forward`, or a position
by its number, and says which form its tensor has.

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
