"""The model as it is: what it gives, and how it learns."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.record import Record
from planc.torch.verify.error_scale import error_scale
from planc.torch.verify.no_dropout import NoDropout
from planc.torch.verify.random_loss import NamedTensors, RandomLoss, named_outputs
from planc.torch.verify.scenarios import Scenario

OptionalTensors = dict[str, Tensor | None]


class TrainingResult(Record):
    """What one way to run a model gave."""

    results: Mapping[str, Tensor]
    terms: Mapping[str, float]
    """The loss, by the results it is the sum of."""
    gradients: Mapping[str, Tensor | None]
    weights: Mapping[str, Tensor]
    """After the steps; empty where none were taken."""


class ReferenceRun:
    """The unsplit model on one run: its numbers in float64, and the units of all of them."""

    def __init__(self, model: nn.Module, run: Scenario, logits: str | None, steps: int, seed: int) -> None:
        """
        Args:
            model: left as it is.
            logits: the name of the result that cross entropy is taken of.
            steps: of the optimizer.
        """
        self.loss: RandomLoss | None = None
        self._setup = (run, logits, steps, seed)
        try:
            self.dtype, self.exact = torch.float64, self._train(model, torch.float64)
            rounded: TrainingResult | None = self._train(model, torch.float32)
        except RuntimeError:  # a model whose code says float32
            self.loss, rounded = None, None
            self.dtype, self.exact = torch.float32, self._train(model, torch.float32)
        exact = self.exact
        self.output_scales = _scales(exact.results, {} if rounded is None else rounded.results, 0.0)
        largest = max(map(_max_abs, exact.gradients.values()), default=0.0)
        self.gradient_scales = _scales(exact.gradients, {} if rounded is None else rounded.gradients, largest)
        self.weight_scales = _scales(exact.weights, {} if rounded is None else rounded.weights, 0.0)
        self.term_scales = _scales(
            _as_tensors(exact.terms), _as_tensors(rounded.terms) if rounded else {}, 0.0
        )

    def _train(self, model: nn.Module, dtype: torch.dtype) -> TrainingResult:
        run, logits, steps, seed = self._setup
        model = copy.deepcopy(model).to(dtype)
        arguments, keywords = cast_floats((run.arguments, run.keywords), dtype)
        weighing = self.loss

        def forward() -> NamedTensors:
            torch.manual_seed(seed)
            return dict(named_outputs(model(*arguments, **keywords)))

        with NoDropout():
            results = forward()
            if weighing is None:
                weighing = self.loss = RandomLoss(results, logits, seed)
            terms = weighing.terms(results, weighing.coefficients)
            backward_terms(terms)
            gradients = {
                name: None if p.grad is None else p.grad.clone()
                for name, p in model.named_parameters(remove_duplicate=False)
            }
            optimizer = make_optimizer(model)
            for step in range(steps):
                if step:
                    optimizer.zero_grad()
                    backward_terms(weighing.terms(forward(), weighing.coefficients))
                optimizer.step()
        weights = dict(model.named_parameters(remove_duplicate=False)) if steps else {}
        return TrainingResult(
            {name: item.detach() for name, item in results.items()},
            {name: float(term) for name, term in terms.items()},
            gradients,
            {name: item.detach() for name, item in weights.items()},
        )


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW; its epsilon is far above rounding, so that a gradient that is zero but for rounding does not
    take a step of full length. One tensor at a time: parameters may be of several kinds."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3, weight_decay=0.1, foreach=False)


def backward_terms(terms: Mapping[str, Tensor]) -> None:
    """The gradients of the sum of the terms."""
    if terms:
        torch.autograd.backward(list(terms.values()))


def cast_floats(item: Any, dtype: torch.dtype) -> Any:
    """Numbers with a fraction in this type, inside of tuples, lists and mappings."""
    if isinstance(item, Tensor):
        return item.to(dtype) if item.is_floating_point() else item
    if isinstance(item, Mapping):
        return {key: cast_floats(part, dtype) for key, part in item.items()}
    if isinstance(item, tuple | list):
        return type(item)(cast_floats(part, dtype) for part in item)
    return item


def _scales(
    exact: Mapping[str, Tensor | None], rounded: Mapping[str, Tensor | None], largest: float
) -> dict[str, float]:
    return {
        name: error_scale(item, rounded.get(name), largest)
        for name, item in exact.items()
        if item is not None and item.is_floating_point()
    }


def _as_tensors(terms: Mapping[str, float]) -> dict[str, Tensor | None]:
    return {name: torch.tensor(term, dtype=torch.float64) for name, term in terms.items()}


def _max_abs(x: Tensor | None) -> float:
    return float(x.abs().max()) if x is not None and x.numel() else 0.0
