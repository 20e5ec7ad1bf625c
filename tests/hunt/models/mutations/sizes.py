"""Numbers that code reads off tensors, parameters and attributes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.hunt.models.edits import Code, Target, after, around, bend, change_call, on_first
from tests.hunt.models.mutation_table import mutation

WEIGHT_SIZES = {
    "weight.shape[0]": lambda m: m.weight.shape[0],
    "weight.shape[-1]": lambda m: m.weight.shape[-1],
    "weight.size(0)": lambda m: m.weight.size(0),
    "len(weight)": lambda m: len(m.weight),
    "weight.numel()": lambda m: m.weight.numel(),
    "weight.stride(0)": lambda m: m.weight.stride(0),
}


def _has_weight(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), Tensor) and module.weight.dim() > 1


@mutation("weight-size-scale")
def scale_by_weights_size(target: Target) -> str | None:
    if not _has_weight(target.module):
        return None
    (text, size), outside = target.rng.choice(list(WEIGHT_SIZES.items())), target.pick(True, False)
    (around if outside else after)(target, lambda module, y, _: bend(y, size(module) ** -0.25))
    return f"y + 0.5 * tanh(y) * {text} ** -0.25, {'in the parent' if outside else 'in the module'}"


@mutation("weight-size-view")
def view_by_weights_size(target: Target) -> str | None:
    if not isinstance(target.module, nn.Linear):
        return None
    outside, way = target.pick(True, False), target.pick("rows", "heads")

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        width = module.weight.shape[0]
        if way == "rows":
            return y.reshape(-1, width).cumsum(-1).view(y.shape)
        return y.view(*y.shape[:-1], 4, width // 4).cumsum(-1).flatten(-2)

    (around if outside else after)(target, change)
    return f"a view of y by weight.shape[0], {way}, {'in the parent' if outside else 'in the module'}"


@mutation("features-view")
def view_by_features(target: Target) -> str | None:
    if not isinstance(target.module, nn.Linear):
        return None
    outside = target.pick(True, False)
    (around if outside else after)(
        target,
        lambda module, y, _: y.view(*y.shape[:-1], 4, module.out_features // 4).cumsum(-1).flatten(-2),
    )
    return f"y.view(..., 4, child.out_features // 4), {'in the parent' if outside else 'in the module'}"


@mutation("features-scale")
def scale_by_features(target: Target) -> str | None:
    names = list(target.below(nn.Linear))
    if not names:
        return None
    name, key = target.rng.choice(names), target.pick("out_features", "in_features")
    child = [target.model.get_submodule(name)]
    after(target.module, lambda _, y, __: bend(y, getattr(child[0], key) ** -0.25))
    return f"y + 0.5 * tanh(y) * {name}.{key} ** -0.25"


@mutation("parents-size")
def read_parents_weight(target: Target) -> str | None:
    """A module reads the size of a weight that is not inside of it."""
    names = [n for n in target.at("").below(nn.Linear, nn.Embedding) if not n.startswith(f"{target.name}.")]
    if not target.name or not names:
        return None
    name = target.rng.choice(names)
    other, (text, size) = [target.model.get_submodule(name)], target.rng.choice(list(WEIGHT_SIZES.items()))
    after(target.module, lambda _, y, __: bend(y, size(other[0]) ** -0.25))
    return f"y + 0.5 * tanh(y) * {name}.{text} ** -0.25"


@mutation("numbers-of-parameters")
def count_parameters(target: Target) -> str | None:
    if not any(True for _ in target.module.parameters()):
        return None
    after(target.module, lambda module, y, _: bend(y, sum(p.numel() for p in module.parameters()) ** -0.1))
    return "y + 0.5 * tanh(y) * sum(p.numel() for p in self.parameters()) ** -0.1"


TENSOR_SIZES = {
    "y.shape[-1]": lambda y: y.shape[-1],
    "y.shape[1]": lambda y: y.shape[1],
    "y.shape[0]": lambda y: y.shape[0],
    "y.numel()": lambda y: y.numel(),
    "len(y)": len,
    "y[0].numel()": lambda y: y[0].numel(),
}


@mutation("size-scale")
def scale_by_size(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) < 2:
        return None
    (text, size), outside = target.rng.choice(list(TENSOR_SIZES.items())), target.pick(True, False)
    (around if outside else after)(target, lambda _, y, __: bend(y, size(y) ** -0.25))
    return f"y + 0.5 * tanh(y) * {text} ** -0.25, {'in the parent' if outside else 'in the module'}"


@mutation("size-view")
def view_by_size(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3:
        return None
    way = target.pick("written", "inferred", "read")
    b, t, d = target.leaving

    def change(y: Tensor) -> Tensor:
        if way == "written":
            return y.reshape(b, t, d) * 1.5
        if way == "inferred":
            return y.reshape(y.shape[0], -1, d).view(y.shape[0], t, -1) * 1.5
        return y.reshape(-1, y.shape[-1]).view(y.shape) * 1.5

    after(target.module, lambda _, y, __: change(y))
    return f"a view of y with sizes that are {way}"


@mutation("positions")
def add_positions(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3:
        return None
    dim, outside = target.pick(1, 2), target.pick(True, False)

    def change(_module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        places = torch.arange(y.shape[dim], device=y.device, dtype=y.dtype).sin()
        return y * (1 + (places if dim == 2 else places[:, None]))

    (around if outside else after)(target, change)
    return f"y * (1 + arange(y.shape[{dim}]).sin()), {'in the parent' if outside else 'in the module'}"


@mutation("padding")
def read_padding_index(target: Target) -> str | None:
    names = target.at("").below(nn.Embedding)
    if not names:
        return None
    name = target.rng.choice(names)
    module, outside = target.model.get_submodule(name), target.pick(True, False)
    module.padding_idx = target.pick(1, module.num_embeddings - 2)

    def code(child: nn.Module, inner: Code, ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        keep = (ids != child.padding_idx).unsqueeze(-1)
        return on_first(inner(ids, *args, **kwargs), lambda y: y * keep)

    if outside:
        change_call(module, code)
    else:
        from tests.hunt.models.edits import change_forward

        change_forward(module, code)
    return f"{name}(ids) * (ids != padding_idx), {'in the parent' if outside else 'in the module'}"


@mutation("words-read")
def read_number_of_words(target: Target) -> str | None:
    names = target.at("").below(nn.Embedding)
    if not names:
        return None
    name = target.rng.choice(names)

    def code(child: nn.Module, inner: Code, ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        return inner((ids + 1) % child.num_embeddings, *args, **kwargs)

    change_call(target.model.get_submodule(name), code)
    return f"{name}((ids + 1) % num_embeddings)"
