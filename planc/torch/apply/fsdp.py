"""Recompute, compile, and FSDP, in that order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from planc.ir.lowered import Lowered, LoweredFsdp, LoweredRegion
from planc.torch.apply.param_shards import local_param
from planc.torch.apply.param_swap import ParamSwap, WrappedForward, swaps_within
from planc.torch.apply.rng import preserve_rng_streams

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_SAVED_OPS: Mapping[str, Sequence[str]] = {
    "matmul": (
        "aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.mv", "aten.addmv",
        "aten._grouped_mm", "aten._scaled_mm", "aten._scaled_grouped_mm",
    ),
    "attention": (
        "aten._scaled_dot_product_flash_attention", "aten._scaled_dot_product_efficient_attention",
        "aten._scaled_dot_product_flash_attention_for_cpu", "aten._scaled_dot_product_cudnn_attention",
        "aten._scaled_dot_product_fused_attention_overrideable",
        "aten._flash_attention_forward", "aten._efficient_attention_forward",
    ),
    "collective": (
        "_c10d_functional.all_gather_into_tensor", "_c10d_functional.reduce_scatter_tensor",
        "_c10d_functional.all_reduce", "_c10d_functional.all_to_all_single",
        "planc.all_gather", "planc.reduce_scatter",
    ),
}  # fmt: skip
"""The operations of each kind, as autograd's formulas call them; not every torch has all."""


def apply_recompute(model: nn.Module, regions: Sequence[LoweredRegion]) -> None:
    """Run the forward of modules again in the backward pass. No module gets another name."""
    seen = set()
    for region in regions:
        context = _selective_context(region.save) if region.mode == "save" else None
        for name in region.modules:
            module = model.get_submodule(name)
            if module in seen:
                continue
            seen.add(module)
            module.forward = _CheckpointedForward(module.forward, context).run


class _CheckpointedForward(WrappedForward):
    """A forward that is run again in the backward pass: its shares are put in place each time."""

    def __init__(self, forward: Callable[..., Any], context: Any) -> None:
        super().__init__(forward, ())
        self.how = {} if context is None else {"context_fn": context}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module."""
        return checkpoint(
            preserve_rng_streams(self.forward), *args, use_reentrant=False, **self.how, **kwargs
        )


def _selective_context(save: Sequence[str]) -> Any:
    kept = {op for kind in save for name in _SAVED_OPS[kind] if (op := _find_op(name)) is not None}

    def policy(_: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if op in kept else CheckpointPolicy.PREFER_RECOMPUTE

    return partial(create_selective_checkpoint_contexts, policy)


def _find_op(name: str) -> Any:
    space, _, own = name.partition(".")
    return getattr(getattr(getattr(torch.ops, space), own, None), "default", None)


def apply_compile(model: nn.Module, regions: Sequence[LoweredRegion], units: frozenset[str]) -> None:
    """Compile the forward of modules, each by itself, in place. Hooks stay outside: FSDP's, and the
    boundary of the module.

    Args:
        units: the names of FSDP's units, whose parameters are whole only while they run.
    """
    seen = set()
    for region in regions:
        for name in region.modules:
            module = model.get_submodule(name)
            if module in seen:
                continue
            seen.add(module)
            gathered = not any(_is_inside(unit, frozenset((name,))) for unit in units)
            uses = swaps_within(module) if gathered else ()
            module.forward = _CompiledForward(module.forward, uses, region.options).run


class _CompiledForward(WrappedForward):
    """A compiled forward, with the shares of all that it needs put in place around it: it then
    changes no module, which a compiler allows nowhere in what runs again in the backward pass."""

    def __init__(
        self, forward: Callable[..., Any], uses: Sequence[ParamSwap], options: Mapping[str, Any]
    ) -> None:
        super().__init__(forward, uses)
        self.options = options
        self._compiled = torch.compile(forward, **options)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module."""
        return self.with_local_params(self._compiled, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {key: item for key, item in self.__dict__.items() if key != "_compiled"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy of a module compiles its own forward."""
        self.__init__(**state)  # type: ignore[misc]


def mesh_order_error(lowered: Lowered, names: Sequence[str]) -> str | None:
    """Why a mesh does not do for FSDP2: it wants replicas outside of shards, and shards outside of
    tensor axes, or sums over the mesh fail later."""
    fsdp = lowered.fsdp
    if fsdp is None:
        return None
    first = [name for name in (fsdp.replicate, fsdp.axis) if name is not None]
    last = [axis.axis for axis in lowered.tensor]
    wanted = [*first, *(name for name in names if name in last)]
    if [name for name in names if name in wanted] == wanted:
        return None
    return f"the axes of the mesh are {', '.join(names)}; FSDP2 needs them in the order {', '.join(wanted)}"


def fsdp_unit_names(lowered: Lowered) -> frozenset[str]:
    """The modules that are units of FSDP."""
    return (
        frozenset(name for unit in lowered.fsdp.units for name in unit.modules)
        if lowered.fsdp
        else frozenset()
    )


def selective_recompute_error(lowered: Lowered) -> str | None:
    """Why a region cannot be run again: what FSDP2 does at its units is no part of what torch's
    selective checkpoint remembers."""
    units = fsdp_unit_names(lowered)
    for region in lowered.recompute:
        if region.mode == "save":
            regions = frozenset(region.modules)
            inner = next((name for name in units if name not in regions and _is_inside(name, regions)), None)
            if inner is not None:
                return f"recompute with save(...) around '{inner}', which is a unit of FSDP: torch cannot do that"
    return None


def compile_backend_error(lowered: Lowered) -> str | None:
    """Why modules cannot be compiled: torch does not know what by."""
    for region in lowered.compile:
        name, known = region.options.get("backend"), torch.compiler.list_backends(())
        if name is not None and name not in known:
            return f"compile with backend '{name}': this torch has {', '.join(sorted(known))}"
    return None


def apply_fsdp(model: nn.Module, fsdp: LoweredFsdp, mesh: DeviceMesh) -> None:
    """Shard units over the axis, inner ones first; over two axes it is HSDP."""
    names = (fsdp.axis,) if fsdp.replicate is None else (fsdp.replicate, fsdp.axis)
    policy = MixedPrecisionPolicy(
        param_dtype=_torch_dtype(fsdp, "params"), reduce_dtype=_torch_dtype(fsdp, "reduce")
    )
    # Modules between units are in the dtype of the parameters: what an inner unit gives stays in it.
    outer = replace(policy, output_dtype=_torch_dtype(fsdp, "output"))
    every = frozenset(name for unit in fsdp.units for name in unit.modules)
    said: dict[str, Any] = {"mesh": mesh[names]}
    if fsdp.settings.get("offload") == "cpu":
        said["offload_policy"] = CPUOffloadPolicy(pin_memory=torch.accelerator.is_available())
    ranks, seen = mesh[fsdp.axis].size(), set()
    for unit in fsdp.units:
        modules: Any = [m for m in map(model.get_submodule, unit.modules) if m not in seen]
        seen.update(modules)
        how = said | {"mp_policy": policy if all(_is_inside(n, every) for n in unit.modules) else outer}
        if unit.reshard is not None:
            how["reshard_after_forward"] = unit.reshard
        # What is resharded to a part of the axis has to be cut along its first dim.
        if unit.reshard is None or isinstance(unit.reshard, bool):
            how["shard_placement_fn"] = partial(_shard_placement, ranks)
        if modules:
            fully_shard(modules[0] if len(modules) == 1 else modules, **how)


def _is_inside(name: str, units: frozenset[str]) -> bool:
    """Whether a module lies in another of the units."""
    parts = name.split(".") if name else []
    return any(".".join(parts[:count]) in units for count in range(len(parts)))


def _shard_placement(ranks: int, parameter: nn.Parameter) -> Shard | None:
    """The first dim that FSDP can divide; None: the first, padded."""
    sizes = local_param(parameter).shape
    return next((Shard(dim) for dim, size in enumerate(sizes) if size and size % ranks == 0), None)


def _torch_dtype(fsdp: LoweredFsdp, name: str) -> torch.dtype | None:
    return _DTYPES.get(str(fsdp.settings.get(name)))
