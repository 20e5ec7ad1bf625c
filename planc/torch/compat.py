"""Every private name of torch that planc uses. No other file of planc touches one.

Each name says what planc needs it for. All were seen in torch 2.11, 2.13 and 2.15; where releases differ, the line says so.
`tests/torch/test_compat.py` has a canary for each name: where a release of torch drops or changes one, the canary
says what breaks in planc. Where torch gets a public name, use that and drop the row here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor

# ---- capture: fake tensors and modes --------------------------------------------------------

FAKE_TENSOR_LOGGER = "torch._subclasses.fake_tensor"
"""The logger that reports a model's exception before planc does: a capture silences it."""

DisableTorchFunction: Any = torch._C.DisableTorchFunction
"""A context in which neither subclasses nor function modes see a call: the recorder's own calls are not the model's."""

function_mode_depth: Callable[[], int] = torch._C._len_torch_function_stack
"""How many function modes are active; 0 means that torch itself runs, below the recorder."""

dispatch_mode_depth: Callable[[], int] = torch._C._len_torch_dispatch_stack
"""How many dispatch modes are active: one of the user's may do something else than the operation."""

SCRIPT_TYPES: tuple[type, ...] = (torch._C.ScriptFunction, torch._C.ScriptMethod)
"""Compiled scripts: no mode sees the operations inside."""

STORAGE_PROPERTIES = ("_typed_storage",)
"""Properties through which code reaches the storage of a tensor, and so its size."""

SILENT_FUNCTIONS = ("_set_grad_enabled", "_is_view", "_assert", *STORAGE_PROPERTIES)
"""Functions of torch that a mode sees, and that compute nothing."""

GRAD_PROPERTIES = ("_grad_fn", "_grad")
"""Properties of a tensor through which code reads its gradient."""

SIZE_INDEPENDENT_PROPERTIES = ("_version", "_cdata")
"""Properties of a tensor or a storage that are numbers and say nothing about a size."""


def op_namespace(module: str) -> str | None:
    """The namespace of an operation of `torch.library`, by its `__module__`; None for other functions."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["torch", "_ops"] and len(parts) > 2 else None


def mutation_count(tensor: Tensor) -> int:
    """How often a tensor was written to in place; 0 for an inference tensor, which keeps no count."""
    with DisableTorchFunction():
        try:
            return int(tensor._version)
        except RuntimeError:
            return 0


def storage_id(tensor: Tensor) -> int:
    """The identity of a tensor's storage, or of a tensor that has none. Fake and meta tensors have no address."""
    with DisableTorchFunction():
        try:
            return int(tensor.untyped_storage()._cdata)
        except (RuntimeError, NotImplementedError):
            return id(tensor)


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether code runs around a module's forward, in each call."""
    return bool(module._forward_pre_hooks) or bool(module._forward_hooks)


def has_grad_hooks(parameter: Tensor) -> bool:
    """Whether hooks change or read a parameter's gradient."""
    return bool(parameter._backward_hooks) or bool(getattr(parameter, "_post_accumulate_grad_hooks", None))


# ---- modules -----------------------------------------------------------------------------------

MODULE_TABLES = ("_parameters", "_buffers", "_modules")
"""The keys of `module.__dict__` under which a module holds parameters, buffers and children."""


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The module's own parameters by name, to read and to replace: torch's setter would register anew, at the end."""
    return module._parameters


def own_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """The module's own buffers by name, to read and to replace."""
    return module._buffers


def own_modules(module: nn.Module) -> dict[str, nn.Module | None]:
    """The module's children by name, a shared one under each of its names."""
    return module._modules


def non_persistent_buffers(module: nn.Module) -> set[str]:
    """The names of the module's own buffers that a state dict leaves out."""
    return module._non_persistent_buffers_set


# ---- weights: how a model initializes itself --------------------------------------------------------

TRUNC_NORMAL = "_no_grad_trunc_normal_"
"""The function of `torch.nn.init` behind `trunc_normal_`: it looks at the numbers that it draws."""


def op_schema(op: Any) -> Any:
    """The schema of an operation: its arguments, and which of them it writes to."""
    return op._schema


def op_basename(op: Any) -> str:
    """The name of an operation without namespace and overload, as `uniform_`."""
    return str(op._opname)


# ---- apply: DTensors and collectives --------------------------------------------------------------

FUNCTIONAL_COLLECTIVES: Any = torch.ops._c10d_functional
"""Functional collectives, which a compiler and dispatch modes see. Torch has kept their names since 2.3."""

FUNCTIONAL_COLLECTIVE_NAMES = tuple(
    f"_c10d_functional.{name}"
    for name in ("all_gather_into_tensor", "reduce_scatter_tensor", "all_reduce", "all_to_all_single")
)
"""The functional collectives as selective recomputation names operations."""

make_wrapper_subclass: Callable[..., Any] = torch.Tensor._make_wrapper_subclass
"""Makes a tensor of a subclass that shows a shape and holds no memory of its own."""

assert_async: Callable[[Tensor, str], None] = torch._assert_async
"""Checks a condition on the GPU without waiting for it."""


def all_gather_options(async_op: bool) -> Any:
    """The options of a coalesced all-gather, whose class torch does not export."""
    from torch.distributed.distributed_c10d import AllgatherOptions  # type: ignore[attr-defined]

    options = AllgatherOptions()
    options.asyncOp = async_op
    return options


def group_by_name(name: str) -> ProcessGroup:
    """The process group that a functional collective names.

    Raises:
        RuntimeError: there is no such group.
    """
    from torch.distributed.distributed_c10d import (  # type: ignore[attr-defined]
        GroupName,
        _resolve_process_group,
    )

    group: ProcessGroup = _resolve_process_group(GroupName(name))
    return group


def use_count(tensor: Tensor) -> int:
    """How many references C++ and Python hold to a tensor: a gradient with one owner needs no copy."""
    return int(tensor._use_count())  # type: ignore[attr-defined]


def local_tensor(tensor: DTensor) -> Tensor:
    """The rank's shard, without the autograd node that `to_local` makes."""
    return tensor._local_tensor


def dtensor_spec(tensor: DTensor) -> Any:
    """Mesh, placements, shape and strides of a DTensor, to make another one with the same without checks."""
    return tensor._spec


def flatten_mesh(mesh: DeviceMesh) -> None:
    """Make one group of all ranks of a mesh: torch then reduces a norm over it in one collective."""
    mesh._flatten()


def is_strided_shard(placement: object) -> bool:
    """Whether FSDP sharded a dim that tensor parallelism had sharded: then the placements do not apply in the
    order of the mesh."""
    from torch.distributed.tensor.placement_types import _StridedShard

    return isinstance(placement, _StridedShard)


# ---- train ------------------------------------------------------------------------------------------

foreach_mul_ = torch._foreach_mul_
foreach_clamp_min_ = torch._foreach_clamp_min_
foreach_clamp_max_ = torch._foreach_clamp_max_
foreach_norm = torch._foreach_norm
"""One kernel for many tensors of one device and dtype, as torch's own clipping uses."""

unscale_and_check_ = torch._amp_foreach_non_finite_check_and_unscale_
"""Multiplies gradients by a factor in place, and sets a flag where one is not finite, as `GradScaler` does."""


def group_device_types(group: Any) -> set[str]:
    """The types of devices that a process group can send from."""
    return {device.type for device in group._device_types}


def fsdp_param_groups(module: Any) -> list[Any]:
    """What FSDP2 reduces together for one module. Torch sets the flags of these groups, and has no way to read them.
    Torch 2.11 has one group a module, later releases several."""
    state = module._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None)
    return [state._fsdp_param_group] if groups is None else list(groups)


# ---- checkpoints ----------------------------------------------------------------------------------------

WRAPPER_ATTRIBUTES = frozenset({"_orig_mod", "_checkpoint_wrapped_module"})
"""What `torch.compile(module)` and `checkpoint_wrapper(module)` call the module inside."""


def without_compiler(model: nn.Module) -> nn.Module:
    """The module that `torch.compile(module)` wraps; another module itself."""
    dynamo: Any = sys.modules.get("torch._dynamo.eval_frame")
    while dynamo is not None and isinstance(model, dynamo.OptimizedModule):
        inner: nn.Module = model._modules["_orig_mod"]
        model = inner
    return model


def without_compilation() -> AbstractContextManager[Any]:
    """A context in which what `torch.compile` has wrapped runs as it is written."""
    if (
        "torch._dynamo.eval_frame" not in sys.modules
    ):  # nothing is compiled, and the compiler takes long to load
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def unflatten_state_dict(flat: dict[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The nested state dict that `torch.distributed.checkpoint` has flattened."""
    from torch.distributed.checkpoint import _nested_dict

    made: dict[str, Any] = _nested_dict.unflatten_state_dict(flat, dict(mapping))
    return made


def grad_scaler_device(scaler: torch.amp.GradScaler) -> str:
    """The type of the devices that a gradient scaler works on."""
    device: str = scaler._device
    return device


_LAZY = {"FsspecReader": "_fsspec_filesystem", "FsspecWriter": "_fsspec_filesystem"}
"""Readers and writers of checkpoints on any storage of fsspec, by their module; loaded where one is used."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"torch.distributed.checkpoint.{_LAZY[name]}"), name)


__all__ = [
    "FAKE_TENSOR_LOGGER", "FUNCTIONAL_COLLECTIVES", "FUNCTIONAL_COLLECTIVE_NAMES", "GRAD_PROPERTIES", "MODULE_TABLES",
    "SCRIPT_TYPES", "SILENT_FUNCTIONS", "SIZE_INDEPENDENT_PROPERTIES", "STORAGE_PROPERTIES", "TRUNC_NORMAL", "WRAPPER_ATTRIBUTES",
    "DataDependentOutputException", "DisableTorchFunction", "DynamicOutputShapeException", "FakeTensor",
    "FakeTensorMode", "FsspecReader", "FsspecWriter", "TorchDispatchMode", "UnsupportedFakeTensorException", "UnsupportedOperatorException",
    "all_gather_options", "assert_async", "dispatch_mode_depth", "dtensor_spec", "flatten_mesh", "foreach_clamp_max_", "foreach_clamp_min_",
    "foreach_mul_", "foreach_norm", "fsdp_param_groups", "function_mode_depth", "grad_scaler_device",
    "group_by_name", "group_device_types", "has_forward_hooks", "has_grad_hooks", "is_strided_shard", "local_tensor",
    "make_wrapper_subclass", "mutation_count", "non_persistent_buffers", "op_basename", "op_namespace", "op_schema",
    "own_buffers", "own_modules", "own_parameters", "storage_id", "unflatten_state_dict", "unscale_and_check_",
    "unset_fake_temporarily", "use_count", "without_compilation", "without_compiler",
]  # fmt: skip
