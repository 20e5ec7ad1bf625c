"""Split models that are called unlike they were captured: what they compute, or what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

import planc

WIDTH, BATCH, LENGTH = 8, 4, 6


class Body(nn.Module):
    """An up and a down projection."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        y = torch.relu(self.up(x))
        return self.down(y if scale is None else y * scale)


class Residual(Body):
    """A body around which its input goes too."""

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        return x + super().forward(x, scale)


class Outer(nn.Module):
    """A body after trained layers that no plan covers; the second makes a scale for the body's inner features."""

    def __init__(self, body: nn.Module, scaled: bool) -> None:
        super().__init__()
        self.before, self.body = nn.Linear(WIDTH, WIDTH), body
        self.scale = nn.Linear(WIDTH, 1) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.body(x) if self.scale is None else self.body(x, self.scale(x))


class Head(nn.Module):
    """A body, and a head whose result is gathered. The last position alone where `last` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10), False

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        x = torch.relu(self.body(x))
        x = x if extra is None else x * extra
        return self.head(x[:, -1] if self.last else x)


class Inner(nn.Module):
    """Calls a module by name or by position."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.by_name = Body(), True

    def forward(self, x: Tensor) -> Any:
        return self.body(x=x) if self.by_name else self.body(x)


class Branches(nn.Module):
    """Two ways, of which the captured call takes one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.other = Body(), Body(), False
        self.extra = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.extra(self.first(x))
        return self.second(x) if self.other else self.first(x)


class Flat(nn.Module):
    """Works on positions in one row, and gathers them there."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.flat = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.flat(self.norm(x).view(-1, WIDTH))


class Evaluates(Body):
    """Does something else in eval mode."""

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        y = torch.relu(self.up(x))
        if not self.training:
            y = y - (2 if scale is None else y.mean(-1, keepdim=True))
        return self.down(y)


class Returns(Body):
    """Returns a mapping, a tuple, or what it computed on the way too."""

    kind = "mapping"

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Any:
        y = torch.relu(self.up(x))
        z = self.down(y)
        if self.kind == "mapping":
            return {"z": z}
        return (z.mean(), z) if self.kind == "tuple" else {"z": z, "y": y}


class Layered(nn.Module):
    """Returns the hidden states between its layers where it is asked to."""

    kind = "mapping"

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Sequential(nn.LayerNorm(WIDTH), Body()) for _ in range(2))

    def forward(self, x: Tensor) -> Any:
        y = self.first(x)
        z = self.second(y)
        return {"z": z} if self.kind == "mapping" else {"z": z, "y": y}


PLANS = {
    "flat": "root inputs(0: replicate -> shard(1)); norm sequence; flat replicate inputs(0: shard(0) -> replicate)",
    "bare": "up colwise; down rowwise",
    "root": "root inputs(0: replicate -> replicate); up colwise; down rowwise",
    "scale": "root inputs(1: replicate -> replicate); up colwise; down rowwise",
    "up": "up colwise replicate ->; down rowwise",
    "head": "head colwise -> replicate",
    "layers": "{first,second}.*.up colwise; {first,second}.*.down rowwise",
    "sequence": "root inputs(0: replicate -> shard(1)) outputs(0: shard(1) -> replicate); {first,second}.0 sequence; "
    "{first,second}.1 inputs(0: shard(1) -> replicate); {first,second}.*.up colwise; {first,second}.*.down rowwise -> shard(1)",
    "branches": "{first,second}.up colwise; {first,second}.down rowwise",
    "inner": "body inputs(x: replicate -> replicate); body.up colwise; body.down rowwise",
}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "body": Body, "residual": Residual, "head": Head, "inner": Inner, "branches": Branches, "flat": Flat, "evaluates": Evaluates,
    "returns": Returns, "layered": Layered,
}  # fmt: skip


UNITS = "units"
"""The plan of FSDP units alone."""


def plan_text(name: str) -> str:
    """A plan for one axis: a tensor axis, or the data axis of FSDP units."""
    if name == UNITS:
        return "mesh dp\nfsdp dp {\n    root\n}\n"
    rules = "".join(f"    {rule.strip()}\n" for rule in PLANS[name].split(";"))
    return f"mesh tp\ntensor tp {{\n{rules}}}\n"


def make_mesh(axis: str = "tp") -> DeviceMesh:
    return init_device_mesh("cpu", (2,), mesh_dim_names=(axis,))


def _built(make: Callable[[], nn.Module]) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(5)
    whole = make()
    torch.manual_seed(5)
    return whole, make()


def numbers(*shape: int) -> Tensor:
    """The same numbers on each rank."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _full(x: Tensor) -> Tensor:
    return x.full_tensor() if isinstance(x, DTensor) else x


def _grad_errors(whole: nn.Module, split: nn.Module) -> float:
    worst = 0.0
    for own, other in zip(whole.parameters(), split.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None)
        if own.grad is not None and other.grad is not None:
            worst = max(worst, float((_full(other.grad) - own.grad).abs().max() / own.grad.abs().max()))
    return worst


def part_after_trained_layers(model: str, plan: str, scaled: bool, asked: bool) -> str | float:
    """The worst relative error of a gradient, or the message of the proof or the call.

    Args:
        scaled: whether a second input gets a gradient too.
        asked: whether the inputs of the capture need one.
    """
    whole, split = _built(lambda: Outer(MODELS[model](), scaled))
    example = [torch.zeros(BATCH, size, requires_grad=asked) for size in (WIDTH, 1)[: 1 + scaled]]
    try:
        planc.parallelize(split.body, planc.parse(plan_text(plan)), make_mesh(), inputs=example)
    except planc.PlanError as error:
        return str(error)
    x = numbers(BATCH, WIDTH)
    try:
        found = split(x)
    except planc.CallError as error:
        return str(error)
    whole(x).square().sum().backward()
    found.square().sum().backward()
    return _grad_errors(whole, split)


def call(
    model: str,
    plan: str,
    captured: list[list[int]],
    given: dict[str, Any],
    setting: str = "",
    grad: bool = True,
) -> Any:
    """Call a split model that was captured with other inputs: the worst relative error, or the message.

    Args:
        captured: the shapes of the inputs of the capture.
        given: the shapes of the inputs of the call, by name or by position; `int` before a shape of integers.
        setting: an attribute to change after the capture.
        grad: whether gradients are computed.
    """
    whole, split = _built(MODELS[model])
    example = [torch.zeros(*shape) for shape in captured]
    mesh = make_mesh("dp" if plan == UNITS else "tp")
    planc.parallelize(split, planc.parse(plan_text(plan)), mesh, inputs=example)
    if setting:
        for each in (whole, split):
            each.eval() if setting == "training" else setattr(each, setting, not getattr(each, setting))
    tensors = {key: _tensor(shape) for key, shape in given.items()}
    args = [tensor for key, tensor in tensors.items() if key.isdigit()]
    kwargs = {key: tensor for key, tensor in tensors.items() if not key.isdigit()}
    try:
        with torch.set_grad_enabled(grad):
            found = split(*args, **kwargs)
    except planc.CallError as error:
        return str(error)
    expected = whole(*args, **kwargs)
    assert found.shape == expected.shape
    if not grad:
        return float((found - expected).abs().max())
    expected.square().sum().backward()
    found.square().sum().backward()
    return max(float((found - expected).abs().max()), _grad_errors(whole, split))


def _tensor(shape: Any) -> Any:
    if shape is None:
        return None
    if shape[0] == "int":
        return torch.ones(*shape[1:], dtype=torch.int64)
    return [numbers(*each) for each in shape[1]] if shape[0] == "list" else numbers(*shape)


def returned(model: str, plan: str, kind: str) -> list[str]:
    """What a call says, or nothing where it returns what the whole model does."""
    whole, split = _built(MODELS[model])
    example = torch.zeros(BATCH, LENGTH, WIDTH)
    planc.parallelize(split, planc.parse(plan_text(plan)), make_mesh(), inputs=[example])
    whole.kind = split.kind = kind  # type: ignore[assignment]
    x = numbers(BATCH, LENGTH, WIDTH)
    try:
        found = split(x)
    except planc.CallError as error:
        return [str(error)]
    expected = whole(x)
    pairs = zip(found, expected) if kind == "tuple" else zip(found.values(), expected.values())
    return [f"off by {float((a - b).abs().max())}" for a, b in pairs if not torch.allclose(a, b, atol=1e-5)]
