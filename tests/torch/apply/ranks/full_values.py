"""`planc.full` of what a split model gives."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

import planc

PLAN = """
mesh tp
tensor tp {
    root   inputs(0: replicate -> replicate)
    qkv    packed_colwise(3)
    o      rowwise
    head   colwise
    loss   vocab_parallel
}
"""


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.o, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.head(self.o(q.tanh() * k.sigmoid() * v))


def differences() -> dict[str, float]:
    """How far each full tensor is from that of the unsplit model."""
    torch.manual_seed(0)
    whole = Model()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    planc.parallelize(model, planc.parse(PLAN), mesh, inputs=[torch.zeros(4, 3, 8)])
    x = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(1))
    expected, logits = whole(x), model(x)
    expected.square().sum().backward()
    planc.full(logits).square().sum().backward()
    found = {"logits": logits}
    needed = {"logits": expected}
    for name, parameter in whole.named_parameters():
        split = model.get_parameter(name)
        found |= {name: split, f"{name}.grad": split.grad}
        needed |= {name: parameter, f"{name}.grad": parameter.grad}
    full = planc.full(found)
    assert planc.full(3) == 3
    assert planc.full(x) is x
    return {name: float((full[name] - tensor).abs().max()) for name, tensor in needed.items()}
