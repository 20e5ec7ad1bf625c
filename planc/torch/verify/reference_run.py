"""The unsplit model in one scenario: what it computes, and how it trains."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.record import Record
from planc.ir.tree import map_leaves
from planc.torch.verify.error_scale import error_scale
from planc.torch.verify.no_dropout import NoDropout
from planc.torch.verify.random_loss import NamedTensors, RandomLoss, named_outputs
from planc.torch.verify.scenarios import Scenario

OptionalTensors = dict[str, Tensor | None]


class TrainingResult(Record):
    """Everything that is compared, of one run in one dtype."""

    outputs: Mapping[str, Tensor]
    terms: Mapping[str, float]
    """The terms of the loss, by output."""
    gradients: Mapping[str, Tensor | None]
    weights: Mapping[str, Tensor]
    """After the optimizer's steps; empty where it made none."""


class ReferenceRun:
    """The unsplit model in one scenario: its results in float64, and the error scale of each."""

    def __init__(
        self, model: nn.Module, scenario: Scenario, logits: str | None, steps: int, seed: int
    ) -> None:
        """
        Args:
            model: it is copied, and stays as it is.
            scenario: the inputs of the batch of all data ranks.
            logits: the name of the output that cross entropy is computed of, or None.
            steps: how many steps the optimizer makes.
            seed: of the loss, and of random numbers in the forward pass.
        """
        self.loss: RandomLoss | None = None
        self._setup = (scenario, logits, steps, seed)
        try:
            self.dtype, self.exact = torch.float64, self._train(model, torch.float64)
            rounded: TrainingResult | None = self._train(model, torch.float32)
        except RuntimeError:  # the model's code creates float32 tensors
            self.loss, rounded = None, None
            self.dtype, self.exact = torch.float32, self._train(model, torch.float32)
        exact = self.exact
        self.output_scales = _scales(exact.outputs, {} if rounded is None else rounded.outputs, 0.0)
        largest = max(map(_max_abs, exact.gradients.values()), default=0.0)
        self.gradient_scales = _scales(exact.gradients, {} if rounded is None else rounded.gradients, largest)
        self.weight_scales = _scales(exact.weights, {} if rounded is None else rounded.weights, 0.0)
        self.term_scales = _scales(
            _as_tensors(exact.terms), {} if rounded is None else _as_tensors(rounded.terms), 0.0
        )

    def _train(self, model: nn.Module, dtype: torch.dtype) -> TrainingResult:
        scenario, logits, steps, seed = self._setup
        model = copy.deepcopy(model).to(dtype)
        args, kwargs = cast_floats((scenario.args, scenario.kwargs), dtype)
        loss = self.loss

        def forward() -> NamedTensors:
            torch.manual_seed(seed)
            return named_outputs(model(*args, **kwargs))

        with NoDropout():
            outputs = forward()
        if loss is None:  # outside of that mode, which fixes random draws
            loss = self.loss = RandomLoss(outputs, logits, seed)
        with NoDropout():
            terms = loss.terms(outputs, loss.coefficients)
            backward_terms(terms)
            gradients = {
                name: None if param.grad is None else param.grad.clone()
                for name, param in model.named_parameters(remove_duplicate=False)
            }
            optimizer = make_optimizer(model)
            for step in range(steps):
                if step:
                    optimizer.zero_grad()
                    backward_terms(loss.terms(forward(), loss.coefficients))
                optimizer.step()
        weights = dict(model.named_parameters(remove_duplicate=False)) if steps else {}
        return TrainingResult(
            {name: output.detach() for name, output in outputs.items()},
            {name: float(term.detach()) for name, term in terms.items()},
            gradients,
            {name: weight.detach() for name, weight in weights.items()},
        )


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW. Its epsilon is far above rounding errors, so that a gradient that is zero but for rounding does not
    cause a step of full length. Without `foreach`, since parameters may be DTensors of several meshes."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3, weight_decay=0.1, foreach=False)


def backward_terms(terms: Mapping[str, Tensor]) -> None:
    """Compute the gradients of the sum of the terms."""
    if terms:
        torch.autograd.backward(list(terms.values()))


def cast_floats(item: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors in this dtype, inside of tuples, lists and mappings."""
    return map_leaves(item, Tensor, lambda x: x.to(dtype) if x.is_floating_point() else x)


def _scales(
    exact: Mapping[str, Tensor | None], rounded: Mapping[str, Tensor | None], kind_max: float
) -> dict[str, float]:
    return {
        name: error_scale(tensor, rounded.get(name), kind_max)
        for name, tensor in exact.items()
        if tensor is not None and tensor.is_floating_point()
    }


def _as_tensors(terms: Mapping[str, float]) -> OptionalTensors:
    return {name: torch.tensor(term, dtype=torch.float64) for name, term in terms.items()}


def _max_abs(x: Tensor | None) -> float:
    return float(x.abs().max()) if x is not None and x.numel() else 0.0
