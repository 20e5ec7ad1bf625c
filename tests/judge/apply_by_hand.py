"""A plan applied to a model by hand: local weights, and hooks at the boundaries.

Nothing of planc is used here. Rules come as plain data, see `plans.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.judge.communication import (
    RANKS,
    Boundary,
    BoundaryFunction,
    GradientPolicy,
    RankLink,
    all_reduce,
)
from tests.judge.rule_semantics import (
    SHARDED_PARAMS,
    STYLE_OUTPUTS,
    first_tensor,
    input_ports,
    layout_dim,
    local_shard,
    matches,
    parse_shard,
)


class AppliedByHand:
    """A model after a plan was applied to it."""

    def __init__(
        self,
        model: nn.Module,
        rules: list[dict[str, Any]],
        wire: RankLink,
        policy: str,
        claimed: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.link = model, wire
        self.claimed = claimed or {"backward": [], "sums": []}
        backward = frozenset((module, port) for module, port in self.claimed["backward"])
        self.judgement = GradientPolicy(wire, policy, backward)
        self.params: dict[str, nn.Parameter] = dict(model.named_parameters(remove_duplicate=False))
        """What each rank holds, by the names of the whole model."""
        self.shards: dict[str, tuple[int, tuple[int, ...]]] = {}
        """The dim of each split parameter, and the sizes of its parts."""
        self.summed_grads: dict[str, str] = {}
        """Whole parameters whose gradients are summed: `always`, or `where they differ`."""
        self.policy, self.inside = policy, 0
        self._local: dict[tuple[int, Any], nn.Parameter] = {}
        self.results: dict[str, Any] = {}
        """Layouts of what leaves the model, where the plan says them."""
        self.gated: set[str] = set()
        named = dict(model.named_modules())
        for name, module in named.items():
            governing = [rule for rule in rules if matches(rule["pattern"], name, module)]
            if governing:
                self._apply_rule(governing[-1], name, module)
        self._hook(named)

    # ---- weights -----------------------------------------------------------------

    def _apply_rule(self, rule: dict[str, Any], name: str, module: nn.Module) -> None:
        module.judged = rule
        style = rule["style"]
        kind = next(
            (SHARDED_PARAMS[k.__name__] for k in type(module).__mro__ if k.__name__ in SHARDED_PARAMS), None
        )
        cuts = (kind or {}).get((style or "").removeprefix("packed_"), {})
        if style in ("colwise", "rowwise", "packed_colwise") and kind is None:
            raise ValueError(f"{style} cannot split {name}, a {type(module).__name__}")
        declared = dict(rule["params"])
        for own in list(module._parameters):
            if module._parameters[own] is None:
                continue
            full = f"{name}.{own}" if name else own
            if own in declared:
                dim, parts = parse_shard(declared[own])
                if dim is None:
                    self.summed_grads[full] = "where they differ"
                else:
                    self._shard(module, own, full, dim, (1,) * parts if parts > 1 else ())
            elif own in cuts:
                self._shard(module, own, full, cuts[own], tuple(rule["parts"]))
            elif style == "rowwise" and own == "bias":
                self._defer_bias(module, full, rule["output"])
            elif style in ("sequence", "replicate"):
                self.summed_grads[full] = "always" if style == "sequence" else "where they differ"
        if "nf" in vars(module) and "colwise" in (style or ""):
            module.nf = module.weight.shape[1]
        for path, value in rule["attributes"]:
            *above, last = path.split(".")
            here: Any = module
            for step in above:
                setattr(here, step, copy.copy(getattr(here, step)))
                here = getattr(here, step)
            setattr(here, last, value)

    def _shard(self, module: nn.Module, own: str, full: str, dim: int, parts: tuple[int, ...]) -> None:
        whole = module._parameters[own]
        assert whole is not None
        dim %= whole.ndim
        self.shards[full] = (dim, parts)
        key = (id(whole), (dim, parts))
        if key not in self._local:  # a tie stays a tie
            self._local[key] = nn.Parameter(local_shard(whole.detach(), dim, parts, self.link.rank).clone())
            self._local[id(whole), "kept"] = whole
        module._parameters[own] = self.params[full] = self._local[key]

    def _defer_bias(self, module: nn.Module, full: str, output: str | None) -> None:
        """A bias that is added once, after the boundary."""
        bias = module._parameters.pop("bias")
        assert bias is not None
        module.bias = torch.zeros_like(bias.detach())
        object.__setattr__(module, "added_later", bias)
        if parse_shard(output or "replicate")[0] is not None:
            self.summed_grads[full] = "always"

    # ---- boundaries --------------------------------------------------------------

    def _hook(self, named: Mapping[str, nn.Module]) -> None:
        ruled = {name: module.judged for name, module in named.items() if hasattr(module, "judged")}
        claimed = [name for name, rule in ruled.items() if rule["inputs"]]
        for name, rule in ruled.items():
            module = named[name]
            outer = name in claimed and not any(other.startswith(f"{name}.") for other in claimed)
            groups = outer and self.policy == "grouped"
            ports = input_ports(rule, module)
            module.register_forward_pre_hook(self._enter(name, ports, groups), with_kwargs=True)
            module.register_forward_hook(self._leave(name, rule, groups), with_kwargs=True)
            if isinstance(module, nn.Embedding) and rule["style"] == "rowwise":
                self._mask_embedding(module)

    def _enter(self, name: str, ports: list[tuple[Any, str, str]], groups: bool) -> Any:
        def hook(_: nn.Module, args: Any, kwargs: Any) -> Any:
            args = list(args)
            for key, before, after in ports:
                place, where = (args, key) if isinstance(key, int) else (kwargs, key)
                port = f"input {key}"
                if key == "":
                    port, found = "input", first_tensor(args, kwargs)
                    if found is None:
                        continue
                    place, where = found
                elif (isinstance(key, int) and key >= len(args)) or (
                    isinstance(key, str) and key not in kwargs
                ):
                    continue
                place[where] = self._change_layout(place[where], name, port, before, after)
            self.inside += groups
            return tuple(args), kwargs

        return hook

    def _leave(self, name: str, rule: dict[str, Any], groups: bool) -> Any:
        def hook(module: nn.Module, _: Any, __: Any, result: Any) -> Any:
            self.inside -= groups
            style = rule["style"]
            if style in STYLE_OUTPUTS:
                raw, gives = STYLE_OUTPUTS[style]
                result = self._at_first(
                    result, lambda x: self._change_layout(x, name, "output", raw, rule["output"] or gives)
                )
            elif style == "replicate" and rule["output"]:
                result = self._change_layout(
                    result, name, "output", rule["input"] or "replicate", rule["output"]
                )
            for key, before, after in rule["outputs"]:
                result = self._at(result, key, lambda x, k=key, b=before, a=after: self._change_layout(
                    x, name, f"output {k}", b, a))  # fmt: skip
                if name == "":
                    self.results[str(key)] = after
            late = getattr(module, "added_later", None)
            if late is not None and parse_shard(rule["output"] or "")[0] in (-1, result.ndim - 1):
                late = late.chunk(RANKS)[self.link.rank]
            return result if late is None else result + late

        return hook

    def _at_first(self, result: Any, change: Any) -> Any:
        """The boundary of a style is at the first tensor that a module gives."""
        if isinstance(result, tuple):
            first = next((i for i, item in enumerate(result) if isinstance(item, Tensor)), None)
            return tuple(change(item) if i == first else item for i, item in enumerate(result))
        return change(result)

    def _at(self, result: Any, key: Any, change: Any) -> Any:
        if isinstance(result, Mapping):
            key = list(result)[key] if isinstance(key, int) else key
            if key in result:
                result[key] = change(result[key])
            return result
        if isinstance(result, tuple):
            return tuple(change(item) if i == key else item for i, item in enumerate(result))
        return change(result) if key == 0 else result

    def _change_layout(self, item: Any, name: str, port: str, before: str, after: str) -> Any:
        if isinstance(item, tuple | list):
            return tuple(self._change_layout(part, name, port, before, after) for part in item)
        if not isinstance(item, Tensor):
            return item
        sides = [layout_dim(text, item.ndim) for text in (before, after)]
        gate = Boundary(self.judgement, name, port, *sides, self.inside > 0)
        return BoundaryFunction.apply(item, gate) if item.requires_grad else gate.forward(item)

    def _mask_embedding(self, module: nn.Embedding) -> None:
        """An embedding that holds a part of the words gives nothing for the others."""
        size = module.weight.shape[0]
        start = size * self.link.rank
        if module.padding_idx is not None:
            own = module.padding_idx - start
            module.padding_idx = own if 0 <= own < size else None
        masks: list[Tensor] = []

        def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
            found = first_tensor(list(args), kwargs)
            ids = args[0] if args else kwargs["input"]
            assert found is not None
            masks.append((ids < start) | (ids >= start + size))
            return ((ids - start).masked_fill(masks[-1], 0),), {}

        def after(_: nn.Module, __: Any, result: Tensor) -> Tensor:
            return result.masked_fill(masks.pop().unsqueeze(-1), 0.0)

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after, prepend=True)

    # ---- after the backward pass -------------------------------------------------

    def gradients(self) -> dict[str, Tensor | None]:
        """The gradient of every parameter, as it is on this rank, by its name."""
        grads = {name: param.grad for name, param in self.params.items()}
        for name, when in self.summed_grads.items():
            grad = grads[name]
            if grad is None or not self._sums(name, grad, when):
                continue
            grads[name] = all_reduce(self.link, grad, f"sum of {name}")
        return grads

    def _sums(self, name: str, grad: Tensor, when: str) -> bool:
        if self.judgement.policy == "claimed":
            return name in self.claimed["sums"]
        found = GradientPolicy(self.link, "found")
        return when == "always" or found.is_partial(name, "gradient", grad)
