"""The facts of an operation's row, against torch: what autograd saves, shared memory, random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from planc.ir.graph import TensorInfo
from planc.proof.rules.catalog import OPS
from planc.proof.rules.inplace import is_inplace
from planc.proof.rules.operation import Operand, Operation
from planc.proof.types import CONSTANT
from planc.torch.apply.checkpointing import saved_ops
from tests.proof.rules.cases import Case, substitute_tensors

OTHER_BYTES = {
    "scaled_dot_product_attention": "with a mask, torch's math backend saves probabilities",
    "rms_norm": "on CPUs, torch computes it in several operations",
    "matmul": "torch expands a batch that one factor lacks, and saves the copies",
    "__matmul__": "torch expands a batch that one factor lacks, and saves the copies",
}
"""Operations that save other bytes on CPUs than their row says."""


class WrongFact(AssertionError):
    """The row of an operation is not what torch does."""


class SavedOps(TorchDispatchMode):
    """Watches the operations whose results a recomputed region may keep."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, int]] = []
        """The kind of each, and where its result lies."""
        self.versions: list[tuple[torch.Tensor, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple) else result
        if func in saved_ops(("matmul", "attention")):
            alias = first.detach()
            self.versions.append((alias, alias._version))
        self.kept += [
            (kind, first.data_ptr()) for kind in ("matmul", "attention") if func in saved_ops((kind,))
        ]
        return result


class TracedRun:
    """One call of a case on random numbers, and what autograd saved in it."""

    def __init__(self, case: Case) -> None:
        generator = torch.Generator().manual_seed(0)
        tensors = case.tensors()
        leaves = [t.make(generator).requires_grad_(t.kind == "float") for t in tensors]
        # Copies: an operation in place may not change a leaf.
        self.operands = [leaf * 1 if leaf.requires_grad else leaf for leaf in leaves]
        self.saved: list[torch.Tensor] = []
        state = torch.get_rng_state()
        with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor), SavedOps() as ops:
            result = _call(case, self.operands)
        self.kept = ops.kept
        self.changes_kept = any(tensor._version != version for tensor, version in ops.versions)
        self.draws = not torch.equal(state, torch.get_rng_state())
        self.results = [r for r in ([result] if isinstance(result, torch.Tensor) else result)
                        if isinstance(r, torch.Tensor)]  # fmt: skip
        self.operation = _operation(case, leaves, self.results)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.saved.append(tensor)
        return tensor

    def saved_bytes(self) -> int:
        """Each tensor once, however many operations inside save it."""
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in self.saved}.values())

    def saves(self, tensor: torch.Tensor) -> bool:
        return any(tensor.data_ptr() == other.data_ptr() for other in self.saved)


def check_row_facts(case: Case) -> None:
    """Raise `WrongFact` where torch does not do what the row of a case's operation says."""
    row, run = OPS[case.name], TracedRun(case)
    if run.draws and not row.uses_rng(run.operation):
        raise WrongFact(f"{case!r} draws random numbers")
    if (
        not row.may_alias
        and True not in [a is True for a in case.arguments]
        and not is_inplace(run.operation)
    ):
        storages = {operand.untyped_storage().data_ptr() for operand in run.operands if operand.numel()}
        if any(result.untyped_storage().data_ptr() in storages for result in run.results):
            raise WrongFact(f"the result of {case!r} shares memory with an operand")
    is_view = any(result.requires_grad and result._is_view() for result in run.results)
    known = row.may_alias or is_inplace(run.operation) or row.returns_view(run.operation)
    if is_view and not known:
        raise WrongFact(f"autograd takes the result of {case!r} for a view")
    kept = {kind for kind, pointer in run.kept if any(r.data_ptr() == pointer for r in run.results)}
    if kept - {*row.saved_as}:
        raise WrongFact(f"'save({next(iter(kept))})' keeps the result of {case!r}")
    if run.changes_kept and not row.changes_saved and not is_inplace(run.operation):
        raise WrongFact(f"{case!r} changes what 'save' keeps")
    if any(result.requires_grad for result in run.results):
        _check_saved(case, run, row.saves(run.operation))


def _check_saved(case: Case, run: TracedRun, expected: tuple[Any, ...] | None) -> None:
    if expected is None:
        return
    saved = run.saved_bytes()
    if not expected and saved:
        raise WrongFact(f"{case!r} saves {saved} bytes, its row says nothing")
    if expected and not saved:
        raise WrongFact(f"{case!r} saves nothing")
    if case.name in OTHER_BYTES:
        return
    if saved != sum(tensor.info.bytes for tensor in expected):
        raise WrongFact(f"{case!r} saves {[tuple(t.shape) for t in run.saved]}, its row says {expected}")
    if is_inplace(run.operation):
        return  # what is saved of an operand that is overwritten is a copy
    tensors = {"result": run.results[0], "indices": run.results[-1], **dict(enumerate(run.operands))}
    for tensor in expected:
        if tensor.source is not None and not run.saves(tensors[tensor.source]):
            raise WrongFact(f"{case!r} does not save {tensor.source}")


def _call(case: Case, operands: list[torch.Tensor]) -> Any:
    tensors = iter(operands)
    arguments = substitute_tensors(tuple(case.arguments), tensors, False)
    keywords = {name: substitute_tensors(value, tensors, False) for name, value in case.keywords.items()}
    call: Callable[..., Any] = case.call
    return call(*arguments, **keywords)


def _operation(case: Case, leaves: list[torch.Tensor], results: list[torch.Tensor]) -> Operation:
    operands = iter(
        [Operand(CONSTANT, tuple(leaf.shape), leaf.requires_grad, _dtype(leaf)) for leaf in leaves]
    )
    arguments = substitute_tensors(case.arguments, operands)
    keywords = {name: substitute_tensors(value, operands) for name, value in case.keywords.items()}
    infos = tuple(TensorInfo(tuple(r.shape), _dtype(r), r.requires_grad) for r in results)
    return Operation(case.name, arguments, keywords, infos, 1, case.masks_lookup)


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
