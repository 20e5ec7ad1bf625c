"""A second opinion: the same plan by torch.distributed.tensor.parallel's own styles.

Torch sums gradients at each split module, and knows no packed projections, no whole parameters
with sums of their gradients, and no attributes: plans with these are left out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from tests.judge.communication import RANKS
from tests.judge.rule_semantics import matches, parse_shard


@cache
def _mesh() -> DeviceMesh:
    return init_device_mesh("cpu", (RANKS,))


class AppliedByTorch:
    """A model after torch applied a plan to it; the same face as `Applied`."""

    def __init__(self, model: nn.Module, rules: list[dict[str, Any]]) -> None:
        self.model = model
        self.shards: dict[str, Any] = {}
        self.results: dict[str, str] = {}
        named = dict(model.named_modules())
        for name, module in named.items():
            governing = [rule for rule in rules if matches(rule["pattern"], name, module)]
            for style in _styles(governing[-1], module) if governing else ():
                parallelize_module(module, _mesh(), style)
            if governing and name == "":
                self.results = {str(key): after for key, _, after in governing[-1]["outputs"]}

    def gradients(self) -> dict[str, Tensor | None]:
        """The whole gradient of every parameter, by its name."""
        found: dict[str, Tensor | None] = {}
        for name, param in self.model.named_parameters(remove_duplicate=False):
            grad = param.grad
            found[name] = grad.full_tensor() if isinstance(grad, DTensor) else grad
        return found


def _styles(rule: dict[str, Any], module: nn.Module) -> list[Any]:
    given = {"input_layouts": _placement(rule["input"]), "output_layouts": _placement(rule["output"])}
    sides = {key: side for key, side in given.items() if side is not None}
    if rule["style"] == "colwise":
        return [ColwiseParallel(**sides)]
    if rule["style"] == "rowwise":
        return [
            RowwiseParallel(
                **({"input_layouts": Replicate()} if isinstance(module, nn.Embedding) else {}) | sides
            )
        ]
    if rule["style"] == "sequence":
        if sides:
            raise ValueError("torch's SequenceParallel has no other layouts")
        return [SequenceParallel(use_local_output=True)]
    found: list[Any] = []
    by_place = {key: sides for key, *sides in rule["inputs"] if isinstance(key, int)}
    by_name = {key: sides for key, *sides in rule["inputs"] if isinstance(key, str)}
    if rule["inputs"]:
        before, after = (tuple(_placement(by_place[i][n]) for i in sorted(by_place)) or None for n in (0, 1))
        names: list[Any] = [{key: _placement(sides[n]) for key, sides in by_name.items()} for n in (0, 1)]
        found.append(PrepareModuleInput(
            input_layouts=before, desired_input_layouts=after, input_kwarg_layouts=names[0],
            desired_input_kwarg_layouts=names[1], use_local_output=True))  # fmt: skip
    if rule["outputs"]:
        before, after = (tuple(_placement(sides[n]) for _, *sides in rule["outputs"]) for n in (0, 1))
        found.append(PrepareModuleOutput(output_layouts=before, desired_output_layouts=after))
    return found


def _placement(text: str | None) -> Placement | None:
    if text is None:
        return None
    dim = parse_shard(text)[0]
    return Shard(dim) if dim is not None else Partial() if text == "partial" else Replicate()
