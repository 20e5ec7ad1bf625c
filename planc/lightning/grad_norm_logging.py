"""Norms of gradients for logs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from planc.torch.train.grad_norm import per_param_grad_norms


def grad_norm(module: nn.Module, norm_type: float | str, group_separator: str = "/") -> dict[str, Tensor]:
    """`lightning.pytorch.utilities.grad_norm` for split models too: it returns what that function returns for
    the unsplit model. All ranks call this.

    Args:
        module: any model, split or not.
        norm_type: the order of `torch.linalg.vector_norm`, above 0; `"inf"` is the largest entry.
        group_separator: stands before the parameter's name.

    Returns:
        Plain scalars: the norm of each gradient, and of all of them as one vector.

    Raises:
        ValueError: the order is not above 0.
    """
    order = float(norm_type)
    if not order > 0:
        raise ValueError(f"norm_type={norm_type!r}: needed: a number above 0, or 'inf'")
    norms = per_param_grad_norms(dict(module.named_parameters()), order)
    entries = {f"grad_{order}_norm{group_separator}{name}": norm for name, norm in norms.items()}
    if entries:
        entries[f"grad_{order}_norm_total"] = torch.linalg.vector_norm(
            torch.stack(list(norms.values())), order
        )
    return entries
