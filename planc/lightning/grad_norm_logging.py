"""Norms of gradients for logs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from planc.torch.train.grad_norm import per_param_grad_norms


def grad_norm(module: nn.Module, norm_type: float | str, group_separator: str = "/") -> dict[str, Tensor]:
    """What `lightning.pytorch.utilities.grad_norm` gives for the unsplit model, also where
    gradients are split. Every rank calls this.

    Args:
        module: any model, split or not.
        norm_type: as for `torch.linalg.vector_norm`, above 0; `"inf"` is the largest entry.
        group_separator: what stands before the parameter's name.

    Returns:
        Plain scalars: the norm of each gradient, and of all of them as one vector.

    Raises:
        ValueError: the norm is not above 0.
    """
    kind = float(norm_type)
    if not kind > 0:
        raise ValueError(f"norm_type={norm_type!r}: needed: a number above 0, or 'inf'")
    norms = per_param_grad_norms(dict(module.named_parameters()), kind)
    named = {f"grad_{kind}_norm{group_separator}{name}": norm for name, norm in norms.items()}
    if named:
        named[f"grad_{kind}_norm_total"] = torch.linalg.vector_norm(torch.stack(list(norms.values())), kind)
    return named
