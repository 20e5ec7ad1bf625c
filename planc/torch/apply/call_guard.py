"""Compares each call of a split model with the one that it was captured with, before anything is computed.

Sizes may differ. What decides which code runs, and along which dims it works, may not: the number of dims of an input,
whether it holds real numbers or integers, whether it is one tensor or a container. An input that needs a gradient
must be one for which the plan is proved. Targets that a mean loss leaves out may not be in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.errors import CallError
from planc.ir.lowered import Lowered, LoweredInput, TensorPath
from planc.ir.tree import dotted, leaves, leaves_with_paths
from planc.torch.apply.argument_names import positional_names
from planc.torch.apply.module_runtime import HookStep

_NODES = (tuple, list, dict)


def guard_calls(model: nn.Module, lowered: Lowered) -> None:
    """Check every later call of a model. Call this last: the check runs before all other hooks."""
    splits_tensors = bool(lowered.tensor)
    if lowered.inputs and (splits_tensors or lowered.fsdp is not None):
        guard = CallGuard(model, lowered.inputs, lowered.eval_error, splits_tensors=splits_tensors)
        model.register_forward_pre_hook(guard, with_kwargs=True, prepend=True)
    if lowered.results is not None and splits_tensors:
        model.register_forward_hook(ResultGuard(lowered.results), prepend=True)


class CallGuard:
    """A hook that lets calls of the captured kind pass.

    Inputs that were not captured may be given too where they are masks, labels or the like; inputs that were captured
    may be missing. A real tensor in the place of a captured input, as `inputs_embeds` of `input_ids`, is refused.

    Where no axis splits tensors, each rank computes with full weights on its own samples. Then the proof is about gradients:
    calls without them pass, and so does another input in the place of the first.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Mapping[str, LoweredInput],
        eval_error: str,
        *,
        splits_tensors: bool = True,
    ) -> None:
        self.eval_error, self.splits_tensors = eval_error, splits_tensors
        self.positions = positional_names(model)
        self.inputs = {_with_name(name, self.positions): known for name, known in inputs.items()}
        self.keys = dict(zip(self.inputs, inputs, strict=True))
        """The inputs as the plan calls them: by position where they were captured so."""
        self.containers = {name.partition(".")[0] for name in self.inputs if "." in name}
        self.main = next(iter(self.inputs)).partition(".")[0]
        """The first input, which a call that does something else leaves out."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """
        Raises:
            CallError: the call is of another kind than the captured one.
        """
        if not self.splits_tensors and not torch.is_grad_enabled():
            return
        if self.eval_error and not module.training:
            raise CallError(
                f"planc: code of the model may take another branch in eval mode, and the plan is not proved for it: "
                f"{self.eval_error}"
            )
        new, has_main = "", False
        for name, item in self._named(args, kwargs):
            if isinstance(item, Tensor):
                known = self.inputs.get(name)
                if known is not None:
                    self._compare(name, item, known)
                elif name in self.containers:
                    raise _unlike_captured(f"'{name}' is a tensor, and was a container of tensors")
                elif item.is_floating_point():
                    new = new or name
            elif isinstance(item, _NODES):
                self._check_container(name, item)
            has_main = has_main or (name == self.main and item is not None)
        if new and not has_main and self.splits_tensors:
            raise _unlike_captured(f"'{new}' is given in the place of '{self.main}'")

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
        named = [
            (self.positions[i] if i < len(self.positions) else str(i), item) for i, item in enumerate(args)
        ]
        return [*named, *kwargs.items()]

    def _check_container(self, name: str, item: Any) -> None:
        for i, tensor in enumerate(leaves(item, Tensor, into=_NODES)):
            if name in self.inputs:
                raise _unlike_captured(f"'{name}' is a {type(item).__name__}, and was one tensor")
            known = self.inputs.get(f"{name}.{i}")
            if known is not None:
                self._compare(f"{name}.{i}", tensor, known)

    def _compare(self, name: str, tensor: Tensor, known: LoweredInput) -> None:
        if tensor.dim() != known.ndim:
            raise _unlike_captured(
                f"'{name}' has shape {tuple(tensor.shape)}, {tensor.dim()} dims, and had {known.ndim} dims"
            )
        for dim in known.ones:
            if tensor.shape[dim] != 1:
                raise _unlike_captured(
                    f"'{name}' has size {tensor.shape[dim]} in dim {dim}, and had size 1, which a view merges with a dim "
                    "that ranks share"
                )
        dtype = tensor.dtype
        kind = "complex" if dtype.is_complex else "real" if dtype.is_floating_point else "integer"
        if kind != known.kind:
            raise _unlike_captured(f"'{name}' is of {dtype}, and held {known.kind} numbers")
        for entry in known.forbidden_entries:
            # The answer is needed before anything is computed: on a GPU this waits for the tensor.
            if bool((tensor == entry).any()):
                raise CallError(
                    f"planc: '{name}' has entries that are {entry}, which the mean loss of the model leaves out: ranks may count "
                    "other numbers of targets, and the mean of their losses is then not the loss of the batch. needed: "
                    f"targets without {entry}, or a loss that is computed outside of the model"
                )
        if not known.takes_grad and tensor.requires_grad and torch.is_grad_enabled():
            raise CallError(
                f"planc: '{name}' needs a gradient, and the plan leaves that gradient in parts: no rank would have all of "
                f"it. needed: a boundary that sums it, such as 'root  inputs({self.keys[name]}: replicate -> replicate)', "
                "or an input without a gradient"
            )


class ResultGuard:
    """A hook that refuses a result with more tensors than the captured one, such as hidden states that the caller asks
    for: they may be slices. A single number, such as a loss, may be added, and a result may be a tuple or a mapping."""

    def __init__(self, results: tuple[TensorPath, ...]) -> None:
        self.results = results

    def __call__(self, module: nn.Module, args: Any, result: Any) -> None:
        """
        Raises:
            CallError: the result has more tensors.
        """
        if isinstance(result, Tensor):
            return
        found = [
            path
            for path, tensor in leaves_with_paths(result, Tensor)
            if tensor.is_floating_point() and tensor.dim()
        ]
        if len(found) > len(self.results):
            new = next(path for path in found if path not in self.results)
            raise _unlike_captured(
                f"its result has a tensor at '{dotted(new)}', and the captured one had none"
            )


class UncapturedCall(HookStep):
    """Refuses calls of a module that the captured call did not use: another branch of the code runs than was proved.

    Without a rule, a module is only refused where gradients are computed: its values are those of its input.
    """

    def __init__(self, name: str, has_rule: bool) -> None:
        self.name, self.has_rule = name, has_rule

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self.has_rule or torch.is_grad_enabled():
            raise _unlike_captured(f"it calls '{self.name}', and the captured one did not")
        return args, kwargs


def _with_name(name: str, positions: tuple[str, ...]) -> str:
    """The name of an input that was captured by position."""
    top, dot, rest = name.partition(".")
    return f"{positions[int(top)]}{dot}{rest}" if top.isdigit() and int(top) < len(positions) else name


def _unlike_captured(what: str) -> CallError:
    return CallError(
        f"planc: the plan is not proved for this call: {what}. needed: a call like the captured one, or a capture with "
        "inputs like these"
    )
