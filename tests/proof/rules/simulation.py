"""Ranks that run the same call on their local tensors, against the run on the global ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from planc.ir.graph import TensorInfo
from planc.proof.rules.operation import Operand, Operation
from planc.proof.types import (
    AVERAGE,
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SpmdType,
    local_shape,
    sharded_dim,
)
from tests.proof.rules.cases import Case, local_shards, random_summands, substitute_tensors


class NumericMismatch(AssertionError):
    """The ranks compute something other than the rule infers."""


class Simulation:
    """One run on global tensors, and one on each rank's local tensors, for operands of given types. `averages`: the axis
    splits the batch. Gradients are those before the average, so that each rank has its share of the gradient of a mean."""

    def __init__(
        self,
        case: Case,
        types: tuple[tuple[SpmdType, bool], ...],
        ranks: int,
        seed: int,
        averages: bool = False,
    ) -> None:
        self.averages = averages
        self.case, self.types, self.ranks = case, types, ranks
        self.generator = torch.Generator().manual_seed(seed)
        self.leaves = [
            t.make(self.generator).requires_grad_(grad)
            for t, (_, grad) in zip(case.tensors(), types, strict=True)
        ]
        self.results = run_case(case.call, case, self.leaves, False)

    def operation(self) -> Operation:
        """The call as the rule sees it."""
        operands = iter(
            Operand(spmd_type, tuple(leaf.shape), grad, _dtype(leaf))
            for leaf, (spmd_type, grad) in zip(self.leaves, self.types, strict=True)
        )
        arguments = substitute_tensors(self.case.arguments, operands)
        keywords = {name: substitute_tensors(value, operands) for name, value in self.case.keywords.items()}
        infos = tuple(TensorInfo(tuple(r.shape), _dtype(r), r.requires_grad) for r in self.results)
        return Operation(
            self.case.name, arguments, keywords, infos, self.ranks, self.case.masks_lookup, self.averages
        )

    def run_ranks(self) -> None:
        """Run the ranks; an exception is one that a rank's local call raises."""
        by_operand = [
            [part.detach().clone().requires_grad_(leaf.requires_grad) for part in parts]
            for leaf, (spmd_type, _) in zip(self.leaves, self.types, strict=True)
            for parts in (local_shards(leaf.detach(), spmd_type, self.ranks, self.generator),)
        ]
        self.local_operands = [[own[rank] for own in by_operand] for rank in range(self.ranks)]
        self.local_results = []
        for rank in range(self.ranks):
            extra = {"rank": rank, "ranks": self.ranks} if self.case.local else {}
            self.local_results.append(
                run_case(
                    self.case.local or self.case.call, self.case, self.local_operands[rank], True, **extra
                )
            )

    def check_value(self, number: int, spmd_type: SpmdType) -> None:
        """Compare the numbers of one result with its type."""
        result, parts = self.results[number], [own[number].detach() for own in self.local_results]
        if spmd_type is CONSTANT and result.requires_grad:
            raise NumericMismatch("typed as a constant, but a gradient flows to it")
        if spmd_type in (INVARIANT, REPLICATED) and not result.requires_grad:
            raise NumericMismatch(f"typed as {spmd_type}, but no gradient flows to it")
        if any(own[number].requires_grad != result.requires_grad for own in self.local_results):
            raise NumericMismatch("a gradient flows on a rank or on the global tensors, but not on both")
        expected = list(local_shards(result.detach(), spmd_type, self.ranks, self.generator))
        if spmd_type is PARTIAL:
            if result.dtype == torch.bool:
                raise NumericMismatch("a partial bool")
            parts, expected = [sum(parts[1:], parts[0])], [result.detach()]
        if spmd_type is AVERAGE:
            parts, expected = [sum(parts[1:], parts[0]) / self.ranks], [result.detach()]
        for rank, (got, want) in enumerate(zip(parts, expected, strict=True)):
            _same(got, want, f"result {number} as {spmd_type} on rank {rank}")

    def check_gradients(self, types: tuple[SpmdType, ...]) -> None:
        """Compare the gradient of every operand, for random gradients of the results."""
        pairs = [(n, k) for n, k in enumerate(types) if self.results[n].requires_grad]
        if not pairs:
            return
        given = [_random(self.results[n], self.generator) for n, _ in pairs]
        shares = [self._cotangents(g, spmd_type) for g, (_, spmd_type) in zip(given, pairs, strict=True)]
        whole = _gradients([self.results[n] for n, _ in pairs], self.leaves, given)
        ranks = [
            _gradients([own[n] for n, _ in pairs], self.local_operands[rank], [s[rank] for s in shares])
            for rank, own in enumerate(self.local_results)
        ]
        for number, (spmd_type, grad) in enumerate(self.types):
            if grad:
                self._check_gradient(number, spmd_type, whole[number], [own[number] for own in ranks])

    def _cotangents(self, given: torch.Tensor, spmd_type: SpmdType) -> list[torch.Tensor]:
        if spmd_type is REPLICATED:
            return random_summands(given, self.ranks, self.generator)
        if spmd_type is AVERAGE:
            return [given / self.ranks] * self.ranks
        return (
            [given] * self.ranks
            if spmd_type is PARTIAL
            else local_shards(given, spmd_type, self.ranks, self.generator)
        )

    def _check_gradient(
        self, number: int, spmd_type: SpmdType, whole: torch.Tensor, parts: list[torch.Tensor]
    ) -> None:
        if spmd_type is REPLICATED:
            parts, expected = [sum(parts[1:], parts[0])], [whole]
        elif spmd_type is PARTIAL:
            expected = [whole] * self.ranks
        elif spmd_type is AVERAGE:
            expected = [whole / self.ranks] * self.ranks
        else:
            expected = local_shards(whole, spmd_type, self.ranks, self.generator)
        for rank, (got, want) in enumerate(zip(parts, expected, strict=True)):
            _same(
                got,
                want,
                f"the gradient of operand {number} ({spmd_type}) on rank {rank}",
                self.gradient_tolerance(),
            )

    def gradient_tolerance(self) -> float:
        """The tolerance of gradients, which pass through the dtypes of the results."""
        return max(TOLERANCE.get(result.dtype, 0.0) for result in self.results)

    def check(self, types: tuple[SpmdType, ...]) -> None:
        """Compare all results and gradients with these types."""
        if any(len(own) != len(types) for own in self.local_results):
            raise NumericMismatch("a rank's call returns another number of results")
        for number, spmd_type in enumerate(types):
            dim = sharded_dim(spmd_type)
            shape = tuple(self.results[number].shape)
            if dim is not None and (dim >= len(shape) or shape[dim] % self.ranks):
                raise NumericMismatch(f"result {number} of shape {shape} cannot be {spmd_type}")
            for own in self.local_results:
                if tuple(own[number].shape) != local_shape(shape, spmd_type, self.ranks):
                    raise NumericMismatch(
                        f"result {number} has shape {tuple(own[number].shape)} on a rank, not as {spmd_type}"
                    )
            self.check_value(number, spmd_type)
        self.check_gradients(types)


def run_case(
    call: Callable[..., Any], case: Case, leaves: list[torch.Tensor], local: bool, **extra: Any
) -> list[torch.Tensor]:
    # Copies, so that an operation in place may change them.
    tensors = iter([leaf.clone() for leaf in leaves])
    arguments = substitute_tensors(tuple(case.arguments), tensors, local)
    keywords = {name: substitute_tensors(value, tensors, local) for name, value in case.keywords.items()}
    result = call(*arguments, **keywords, **extra)
    return (
        [result] if isinstance(result, torch.Tensor) else [r for r in result if isinstance(r, torch.Tensor)]
    )


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _random(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.dtype)


def _gradients(
    results: list[torch.Tensor], leaves: list[torch.Tensor], given: list[torch.Tensor]
) -> list[torch.Tensor]:
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(
        torch.autograd.grad(
            results, wanted, given, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    )
    return [next(found) if leaf.requires_grad else leaf for leaf in leaves]


TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.2}


def _same(got: torch.Tensor, want: torch.Tensor, what: str, near: float = 0.0) -> None:
    if got.shape != want.shape:
        raise NumericMismatch(f"{what} has shape {tuple(got.shape)} instead of {tuple(want.shape)}")
    near = max(near, TOLERANCE.get(got.dtype, 0.0))
    if not torch.allclose(got, want.to(got.dtype), near, near, equal_nan=True):
        raise NumericMismatch(
            f"{what} has other numbers: {got.flatten()[:6]} instead of {want.flatten()[:6]}"
        )
