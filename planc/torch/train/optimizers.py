"""Steps of optimizers on a mix of plain parameters and DTensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer


@contextmanager
def by_kind(optimizer: Optimizer) -> Iterator[None]:
    """Steps in here work on a mix, also with `foreach=True` and `fused=True`.

    Such steps hand all parameters of a group to one operation, which takes plain ones, or DTensors
    of one mesh. In here each group is one group for each kind, with the same numbers; afterwards
    the groups are as before, and state dicts are those of the unsplit model at any time but in here.

    An error of a step that knows no DTensors says what to do, as a note.
    """
    groups = list(optimizer.param_groups)
    pieces = [_pieces(group) for group in groups]
    # In place: what holds the list, as wrappers of optimizers do, must see the same.
    optimizer.param_groups[:] = [piece for made in pieces for piece in made]
    try:
        yield
    except (RuntimeError, NotImplementedError, TypeError) as bad:
        if any(isinstance(p, DTensor) for group in groups for p in group["params"]) and _is_of_dtensors(bad):
            bad.add_note(
                f"planc: {type(optimizer).__name__} with these settings cannot make a step on parameters that "
                "are split. AdamW, Adam and SGD can, with foreach or without; Adam and AdamW fused, too"
            )
        raise
    finally:
        for group, made in zip(groups, pieces, strict=True):
            if made[0] is not group:
                # What a step writes into its group, as a counter, it has written into each piece.
                group.update({key: value for key, value in made[0].items() if key != "params"})
        optimizer.param_groups[:] = groups


def _pieces(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group for each kind of parameter; the group itself where one operation takes them all, or
    where each parameter has its own."""
    if not (group.get("foreach") or group.get("fused")):
        return [group]
    kinds: dict[object, list[Tensor]] = {}
    for parameter in group["params"]:
        kind = parameter.device_mesh if isinstance(parameter, DTensor) else None
        kinds.setdefault(kind, []).append(parameter)
    if len(kinds) < 2:
        return [group]
    return [{**group, "params": parameters} for parameters in kinds.values()]


def _is_of_dtensors(bad: Exception) -> bool:
    said = str(bad)
    return any(word in said for word in ("DTensor", "sharding strategy", "placement"))
