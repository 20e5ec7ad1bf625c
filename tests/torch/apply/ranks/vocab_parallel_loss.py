"""The loss on split logits against the same loss on whole ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.nn import functional as F  # noqa: N812  # as users name it

import planc
from planc.torch.apply.vocab_parallel import VocabParallelLogits
from tests.torch.apply.ranks.models import build_model

SHAPE = (2, 6, 32)
LOSSES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "as users write it": lambda x, y: F.cross_entropy(x.view(-1, SHAPE[2]), y.view(-1)),
    "flattened": lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="sum"),
    "shifted": lambda x, y: F.cross_entropy(
        x[..., :-1, :].contiguous().view(-1, x.size(-1)).float(), y[..., 1:].reshape(-1), ignore_index=-1
    ),
    "each": lambda x, y: F.cross_entropy(
        input=x.reshape(-1, x.shape[-1]), target=y.reshape(-1), reduction="none", ignore_index=3
    ).square().sum(),
    "smoothed": lambda x, y: F.cross_entropy(x.view(12, -1), y.view(-1), label_smoothing=0.1),
    "smoothed and ignored": lambda x, y: torch.nn.CrossEntropyLoss(ignore_index=3, label_smoothing=0.3)(
        x.flatten(0, -2), y.flatten()
    ),
    "with a temperature": lambda x, y: F.cross_entropy((2 * x / 0.7)[y != 3], y[y != 3]),
    "one row": lambda x, y: F.cross_entropy(x[0, 1], y[0, 1]),
    "weighted after": lambda x, y: (
        F.cross_entropy(x.view(-1, 32), y.view(-1), reduction="none").view_as(y) * y
    ).mean(),
}  # fmt: skip


def compare_loss(loss: str, dtype: str) -> dict[str, Any]:
    """How far loss and gradient are off, and what ran."""
    random = torch.Generator().manual_seed(3)
    whole = (torch.randn(SHAPE, generator=random) * 4).to(getattr(torch, dtype)).requires_grad_()
    labels = torch.randint(0, SHAPE[2], SHAPE[:2], generator=random)
    labels[0, 2:4] = 3
    group, rank, ranks = dist.group.WORLD, dist.get_rank(), dist.get_world_size()
    own = whole.detach().chunk(ranks, -1)[rank].clone().requires_grad_()
    needed = LOSSES[loss](whole, labels)
    needed.backward()
    seen = CollectiveRecorder()
    with seen:
        got = LOSSES[loss](VocabParallelLogits(own, group), labels)
        got.backward()
    assert whole.grad is not None
    assert got.dtype == needed.dtype
    return {
        "loss": float((got - needed).abs() / needed.abs()),
        "gradient": float(
            (own.grad - whole.grad.chunk(ranks, -1)[rank]).abs().max() / whole.grad.abs().max()
        ),
        "collectives": seen.calls,
    }


class CollectiveRecorder(torch.utils._python_dispatch.TorchDispatchMode):
    """The collectives that run: their names, and the bytes of each."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "_c10d_functional" and "wait" not in str(func):
            self.calls.append([func._opname, args[0].numel() * args[0].element_size()])
        return func(*args, **(kwargs or {}))


def all_targets_ignored() -> bool:
    """Whether a loss without any target is what it is without a plan: not a number."""
    x = VocabParallelLogits(torch.randn(3, 8), dist.group.WORLD)
    return bool(F.cross_entropy(x, torch.full((3,), -100)).isnan())


def logits_interface() -> dict[str, Any]:
    """What split logits show of themselves."""
    local = torch.randn(2, 3, 8, requires_grad=True)
    x = VocabParallelLogits(local, dist.group.WORLD)
    whole = x.gathered()
    whole.square().sum().backward()
    return {
        "shape": list(x.shape), "size": x.size(-1), "numel": x.numel(), "dtype": str(x.dtype), "len": len(x),
        "requires_grad": [x.requires_grad, x.detach().requires_grad], "tensor": isinstance(x, Tensor),
        "gathered": list(whole.shape), "gradient": bool(torch.equal(local.grad, 2 * local)),
        "text": repr(x)[:37], "half": list(x.half().local.shape),
    }  # fmt: skip


def gradient_hook() -> dict[str, Any]:
    """A hook of the gradient: it sees it split, may change it, and may not look at it."""
    group = dist.group.WORLD
    local = torch.randn(6, 16 // dist.get_world_size(), requires_grad=True)
    targets = torch.arange(6) * 2 % 16
    seen: list[Any] = []

    def hook(gradient: Any) -> Any:
        seen.append([type(gradient).__name__, *gradient.shape])
        return gradient * 3

    x = VocabParallelLogits(local * 1, group)
    x.register_hook(hook)
    F.cross_entropy(x, targets).backward()
    plain = local.detach().clone().requires_grad_()
    F.cross_entropy(VocabParallelLogits(plain * 1, group), targets).backward()
    assert local.grad is not None
    assert plain.grad is not None
    x = VocabParallelLogits(local * 1, group)
    x.register_hook(lambda gradient: gradient.norm())
    try:
        F.cross_entropy(x, targets).backward()
        message = "nothing"
    except RuntimeError as raised:
        message = str(raised)
    return {"seen": seen, "times": bool(torch.allclose(local.grad, 3 * plain.grad)), "message": message}


UNSUPPORTED: dict[str, Callable[[Any], Any]] = {
    "argmax of positions": lambda x: x.argmax(1),
    "argmax of all": lambda x: x.argmax(),
    "max of all": lambda x: x.max(),
    "max of two": lambda x: torch.max(x, x),
    "softmax of positions": lambda x: x.softmax(1),
    "log_softmax of no dim": F.log_softmax,
    "logsumexp of all": lambda x: x.logsumexp((0, 1, 2)),
    "gather of positions": lambda x: x.gather(1, torch.zeros(2, 1, 16, dtype=torch.long)),
    "amax with a gradient": lambda x: (x + torch.zeros(1, requires_grad=True)).amax(-1),
    "sort": lambda x: x.sort(-1),
    "norm": lambda x: x.norm(),
    "multinomial": lambda x: x[0].softmax(-1).multinomial(1),
    "cumsum": lambda x: x.cumsum(-1),
    "flip": lambda x: x.flip(-1),
    "roll": lambda x: x.roll(1, -1),
    "some words": lambda x: x[..., 1:],
    "words by number": lambda x: x.index_select(-1, torch.arange(16)),
    "words by ids": lambda x: x[:, :, torch.arange(16)],
    "chunks of words": lambda x: x.chunk(2, -1),
    "each word": lambda x: x.unbind(-1),
    "words joined": lambda x: torch.cat([x, x], -1),
    "joined with another tensor": lambda x: torch.cat([x, torch.ones(2, 3, 16)]),
    "both orders": lambda x: x[:, :, None] + x.transpose(1, 2)[:, None],
    "view as another dtype": lambda x: x.view(torch.int32),
    "a result to write to": lambda x: torch.exp(x, out=torch.empty(2, 3, 16)),
    "an assignment": lambda x: x.__setitem__((..., 0), 1.0),
    "the last dim": lambda x: x[..., 0],
    "the last dim of all": lambda x: x[0, 0, :4],
    "a mask of all": lambda x: x[torch.ones(2, 3, 16, dtype=torch.bool)],
    "view": lambda x: x.view(-1),
    "view of halves": lambda x: x.view(-1, 8),
    "mul by a part": lambda x: x * torch.ones(8),
    "weights with gradients": lambda x: F.cross_entropy(
        x.view(-1, 16), torch.zeros(6, dtype=torch.long), torch.ones(16, requires_grad=True)
    ),
    "size_average": lambda x: F.cross_entropy(
        x.view(-1, 16), torch.zeros(6, dtype=torch.long), size_average=True
    ),
    "reduce": lambda x: F.kl_div(x.log_softmax(-1), x.softmax(-1), reduce=False),
    "not flat": lambda x: F.cross_entropy(x, torch.zeros(2, 16, dtype=torch.long)),
    "matmul": lambda x: torch.ones(3, 3) @ x,
    "backward": lambda x: x.backward(),
}


def unsupported_operations() -> dict[str, str]:
    """What is raised by things that need whole logits."""
    found = {}
    for name, act in UNSUPPORTED.items():
        x = VocabParallelLogits(torch.randn(2, 3, 16 // dist.get_world_size()), dist.group.WORLD)
        try:
            found[name] = f"nothing: {act(x)!r}"
        except RuntimeError as raised:
            found[name] = str(raised)
    return found


def invalid_targets() -> list[str]:
    """What is raised for labels that the loss cannot take."""
    found = []
    for target in (torch.tensor([1, 16]), torch.tensor([-1, 1]), torch.tensor([1])):
        x = VocabParallelLogits(torch.randn(2, 16 // dist.get_world_size()), dist.group.WORLD)
        try:
            F.cross_entropy(x, target)
        except (IndexError, ValueError) as raised:
            found.append(f"{type(raised).__name__}: {raised}")
    return found


def llama_loss_error(graph: str, sizes: dict[str, int], inside: bool) -> dict[str, Any]:
    """The loss of a Llama under its plan, outside of the model or by its own code, and all gradients."""
    whole, model = build_model("llama"), build_model("llama")
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    lines = "plan small\nextends llama\nfsdp dp { override params: fp32 }\n"
    planc.parallelize(model, planc.parse(lines), mesh, graph=graph)
    random = torch.Generator().manual_seed(4)
    ids = torch.randint(0, 256, (4, 12), generator=random)
    labels = ids.clone()
    needed = _llama_loss(whole, ids, labels, inside)
    needed.backward()
    part = mesh["dp"].get_local_rank() if "dp" in sizes else 0
    rows = slice(part * 2, part * 2 + 2) if sizes.get("dp") == 2 else slice(None)
    got = _llama_loss(model, ids[rows], labels[rows], inside)
    got.backward()
    total = got.detach().clone()
    if sizes.get("dp") == 2:
        dist.all_reduce(total, group=mesh["dp"].get_group())
        total /= 2
    grads = dict(whole.named_parameters())
    worst = max(
        float((p.grad.full_tensor() - grads[key].grad).abs().max() / grads[key].grad.abs().max())
        for key, p in model.named_parameters()
    )
    return {"loss": abs(float(total - needed)) / float(needed), "gradient": worst}


def _llama_loss(model: Any, ids: Tensor, labels: Tensor, inside: bool) -> Tensor:
    if inside:
        return model(input_ids=ids, labels=labels, use_cache=False).loss
    logits = model(input_ids=ids, use_cache=False).logits
    return F.cross_entropy(logits[:, :-1].reshape(-1, 256), labels[:, 1:].reshape(-1))
