"""A model as it is against the same model split over two ranks: results and every gradient."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.judge.apply_by_hand import AppliedByHand
from tests.judge.communication import RankLink, RanksDiverged
from tests.judge.rule_semantics import layout_dim, local_shard
from tests.judge.torch_styles import AppliedByTorch

TOLERANCE = 2e-4
"""Of the largest number of a tensor. The models compute in float64, but for what their code casts."""
FLOOR = 1e-6
"""Of the largest gradient of the model: one that is zero but for rounding is not compared."""


def build_family(name: str, settings: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Tensor]]:
    """A small model with random weights, of transformers or a toy, and what it is called with."""
    if name.startswith("toy:"):
        from tests.judge import toys

        torch.manual_seed(0)
        toy, given = toys.model(name.removeprefix("toy:"))
        _randomize(toy.double().train())
        return toy, {key: item.double() if item.is_floating_point() else item for key, item in given.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        kind = getattr(transformers, name)
        config = kind.config_class(**settings)
        for key, value in list(vars(config).items()):
            if isinstance(value, float) and "drop" in key:
                setattr(config, key, 0.0)
        config._attn_implementation = "sdpa"
        if hasattr(config, "_experts_implementation"):
            config._experts_implementation = "batched_mm"
        torch.manual_seed(0)
        model = kind(config).double().train()
    _randomize(model)
    return model, _inputs(model, config)


def _randomize(model: nn.Module) -> None:
    """Numbers that leave no gradient small, and no norm or bias without effect."""
    with torch.no_grad():
        for name, param in model.named_parameters():
            noise = torch.randn(param.shape, dtype=param.dtype)
            if param.ndim > 1:
                param.copy_(
                    noise * (0.7 if "embed" in name or "wte" in name else 1.2 / param.shape[-1] ** 0.5)
                )
            else:
                param.copy_(noise * 0.3 + ("norm" in name.lower() or "ln_" in name) * name.endswith("weight"))
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(torch.rand_like(buffer) * 0.1)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _inputs(model: Any, config: Any) -> dict[str, Any]:
    batch, length = 3, 12
    random = torch.Generator().manual_seed(1)
    if model.main_input_name == "pixel_values":
        size = config.image_size
        return {"pixel_values": torch.randn(batch, 3, size, size, generator=random, dtype=torch.float64)}
    found: dict[str, Any] = {}
    ids = torch.randint(0, config.vocab_size, (2, batch, length), generator=random)
    if model.main_input_name == "input_features":
        shape = (batch, config.num_mel_bins, 2 * config.max_source_positions)
        found["input_features"] = torch.randn(shape, generator=random, dtype=torch.float64)
    else:
        found["input_ids"] = ids[0]
    if config.is_encoder_decoder:
        found["decoder_input_ids"] = ids[1][:, :8]
    if hasattr(config, "use_cache"):
        found["use_cache"] = False
    return found


def float_outputs(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a model gives: tensors that a gradient can flow to, by name."""
    return {name: item for name, item in _leaves(model(**inputs)) if item.is_floating_point()}


def _leaves(result: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(result, Tensor):
        yield name, result
    elif isinstance(result, Mapping | tuple):
        for key, part in result.items() if isinstance(result, Mapping) else enumerate(result):
            yield from _leaves(part, f"{name}.{key}" if name else str(key))


class Reference:
    """The model as it is: what it gives, and the gradients of a linear function of that."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.model, self.inputs = build_family(name, settings)
        self.results = float_outputs(self.model, self.inputs)
        random = torch.Generator().manual_seed(2)
        self.cotangents = {
            key: torch.randn(item.shape, generator=random, dtype=item.dtype)
            for key, item in self.results.items()
        }
        loss = sum((item * self.cotangents[key]).sum() for key, item in self.results.items())
        assert isinstance(loss, Tensor)
        loss.backward()
        self.grads = {
            key: None if param.grad is None else param.grad.clone()
            for key, param in self.model.named_parameters(remove_duplicate=False)
        }
        self.results = {key: item.detach() for key, item in self.results.items()}
        self.model.zero_grad(set_to_none=True)
        self.largest = max(float(grad.abs().max()) for grad in self.grads.values() if grad is not None)


def compare(whole: Reference, case: Mapping[str, Any], wire: RankLink, policy: str) -> str | None:
    """What is wrong with a plan on this rank; None: nothing."""
    wire.begin()
    found: str | None
    try:
        found = _compare(whole, case, wire, policy)
        wire.end()
    except RanksDiverged as apart:
        found = f"the ranks come apart: {apart}"
    except Exception as raised:  # noqa: BLE001  # a wrong plan may raise anything
        found = f"raises {type(raised).__name__}: {str(raised)[:200]}"
        with contextlib.suppress(RanksDiverged):
            wire.end()
    return found


def _compare(whole: Reference, case: Mapping[str, Any], wire: RankLink, policy: str) -> str | None:
    model = copy.deepcopy(whole.model)
    applied: Any
    if policy == "torch":
        applied = AppliedByTorch(model, case["rules"])
    else:
        applied = AppliedByHand(model, case["rules"], wire, policy, case.get("claimed"))
    results = float_outputs(model, whole.inputs)
    loss: Any = 0
    wrong: list[str] = []
    for number, (name, expected) in enumerate(whole.results.items()):
        declared = applied.results.get(name) or applied.results.get(str(number)) or "replicate"
        if case["loss"] and (name == "logits" or len(results) == 1):
            declared = "shard(-1)"
        dim = layout_dim(declared, expected.ndim)
        factor = whole.cotangents[name]
        if isinstance(dim, int):
            expected, factor = (local_shard(item, dim, (), wire.rank) for item in (expected, factor))
        result = results[name]
        wrong += _mismatch(f"result {name}", result, expected, 0.0)
        if result.shape == factor.shape:
            loss = loss + (result * factor).sum()
    if isinstance(loss, Tensor):
        loss.backward()
    grads = applied.gradients()
    for name, grad in whole.grads.items():
        expected_grad = grad
        if grad is not None and name in applied.shards:
            expected_grad = local_shard(grad, *applied.shards[name], wire.rank)
        own = grads[name]
        if own is None or expected_grad is None:
            if (own is None) != (expected_grad is None) and float(
                (own if grad is None else grad).abs().max()
            ):
                wrong.append(f"gradient of {name} is missing on one side")
            continue
        wrong += _mismatch(f"gradient of {name}", own, expected_grad, gradient_floor(whole))
    return "; ".join([*wrong[:3], f"{len(wrong)} in all"]) if wrong else None


def gradient_floor(whole: Reference) -> float:
    return FLOOR * whole.largest


def _mismatch(what: str, got: Tensor, needed: Tensor, floor: float) -> list[str]:
    if got.shape != needed.shape:
        return [f"{what} has shape {tuple(got.shape)}, not {tuple(needed.shape)}"]
    off = float((got - needed).abs().max()) if needed.numel() else 0.0
    scale = float(needed.abs().max()) if needed.numel() else 0.0
    if off <= max(TOLERANCE * scale, floor):
        return []
    return [f"{what} is off by {off / (scale or 1.0):.1e}"]
