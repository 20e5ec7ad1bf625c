"""Canaries: a release of torch that drops or changes a private name fails here first.

Each canary says what planc does with the name, and so what breaks, and where.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.distributed.tensor import DTensor, Replicate, Shard  # noqa: E402

from planc.torch import compat  # noqa: E402
from tests.torch.canaries import Canaries  # noqa: E402

CANARIES = Canaries(compat, f"torch {torch.__version__}")
canary = CANARIES.check


@pytest.fixture(scope="module", autouse=True)
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A process group of one rank."""
    store = tmp_path_factory.mktemp("store") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", compat.__all__)
def test_a_private_name_of_torch_does_what_planc_needs(name: str) -> None:
    CANARIES.run(name)


# ---- capture ------------------------------------------------------------------------------------


@canary("FakeTensor", "FakeTensorMode", "unset_fake_temporarily", breaks="capture: it runs on fake tensors")
def _fake_tensors() -> None:
    with compat.FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.tensor([3])
        assert isinstance(fake, compat.FakeTensor)
        assert fake.constant is not None, "a constant keeps its numbers"
        with compat.unset_fake_temporarily():
            assert type(torch.zeros(1)) is torch.Tensor


def _raises(kind: type[BaseException], function: Callable[[Any], object]) -> None:
    with compat.FakeTensorMode():
        fake = torch.zeros(3)
        with pytest.raises(kind):
            function(fake)


@canary("DataDependentOutputException", breaks="capture: G802 for code that reads a tensor's numbers")
def _item() -> None:
    _raises(compat.DataDependentOutputException, lambda x: x.sum().item())


@canary("DynamicOutputShapeException", breaks="capture: the diagnostic G802 for boolean masks")
def _nonzero() -> None:
    _raises(compat.DynamicOutputShapeException, lambda x: x.nonzero())


@canary("UnsupportedOperatorException", "UnsupportedFakeTensorException",
        breaks="capture: the diagnostic G802 for an operation without a fake")  # fmt: skip
def _unsupported() -> None:
    with torch.library._scoped_library("planc_canary", "FRAGMENT") as library:
        library.define("nofake(Tensor x) -> Tensor")
        library.impl("nofake", lambda x: x.clone(), "CPU")
        _raises(compat.UnsupportedOperatorException, torch.ops.planc_canary.nofake)
    assert issubclass(compat.UnsupportedFakeTensorException, RuntimeError)


@canary("FAKE_TENSOR_LOGGER", breaks="capture: an exception of the model is printed twice")
def _logger() -> None:
    import torch._subclasses.fake_tensor as home

    assert home.log.name == compat.FAKE_TENSOR_LOGGER


@canary("DisableTorchFunction", "function_mode_depth",
        breaks="capture: the recorder would record its own calls")  # fmt: skip
def _function_modes() -> None:
    seen = []

    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(compat.function_mode_depth())
            return func(*args, **(kwargs or {}))

    x = torch.zeros(2)
    with Mode():
        assert compat.function_mode_depth() == 1
        x.cos()
        with compat.DisableTorchFunction():
            x.cos()
    assert seen == [0], "inside a mode's handler the mode is not active, and no handler saw the second call"


@canary("dispatch_mode_depth", "TorchDispatchMode",
        breaks="capture notices users' modes, materialize records initializers, collectives go around the compiler")  # fmt: skip
def _dispatch_modes() -> None:
    seen = []

    class Mode(compat.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(compat.op_basename(func))
            return func(*args, **(kwargs or {}))

    assert compat.dispatch_mode_depth() == 0
    with Mode():
        assert compat.dispatch_mode_depth() == 1
        torch.zeros(2).fill_(1.0)
    assert seen == ["zeros", "fill_"]


@canary("SCRIPT_TYPES", breaks="capture: code in compiled scripts is not recorded as one operation")
def _scripts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(_scripted)
    assert type(script) in compat.SCRIPT_TYPES
    assert all("__call__" in dir(kind) for kind in compat.SCRIPT_TYPES)


def _scripted(x: torch.Tensor) -> torch.Tensor:
    return x + 1


@canary("SILENT_FUNCTIONS", "STORAGE_PROPERTIES", "GRAD_PROPERTIES", "SIZE_INDEPENDENT_PROPERTIES",
        breaks="capture: tables of functions and properties by name")  # fmt: skip
def _names() -> None:
    for name in (*compat.SILENT_FUNCTIONS, *compat.STORAGE_PROPERTIES, *compat.GRAD_PROPERTIES):
        assert any(hasattr(home, name) for home in (torch, torch._C, torch.Tensor)), name
    assert hasattr(torch.Tensor, "_version")
    assert hasattr(torch.zeros(1).untyped_storage(), "_cdata")


@canary(
    "op_namespace", breaks="capture: operations of torch.library lose their namespace and pass for torch's"
)
def _namespace() -> None:
    assert compat.op_namespace(torch.ops.aten.relu.default.__module__) == "aten"
    assert compat.op_namespace(torch.relu.__module__ or "torch") is None


@canary("mutation_count", "storage_id", breaks="capture: in-place changes and shared memory go unnoticed")
def _mutation() -> None:
    x = torch.zeros(4)
    before = compat.mutation_count(x)
    x.add_(1)
    assert compat.mutation_count(x) == before + 1
    assert compat.storage_id(x) == compat.storage_id(x[1:])
    assert compat.storage_id(x) != compat.storage_id(x.clone())
    meta = torch.zeros(4, device="meta")
    assert compat.storage_id(meta) == compat.storage_id(meta.view(2, 2))


@canary("has_grad_hooks", "has_forward_hooks", breaks="capture: hooks go unnoticed")
def _hooks() -> None:
    for register in ("register_hook", "register_post_accumulate_grad_hook"):
        weight = nn.Parameter(torch.zeros(2))
        assert not compat.has_grad_hooks(weight)
        getattr(weight, register)(lambda _: None)
        assert compat.has_grad_hooks(weight), register
    for register in ("register_forward_pre_hook", "register_forward_hook"):
        module = nn.Linear(2, 2)
        assert not compat.has_forward_hooks(module)
        getattr(module, register)(lambda *_: None)
        assert compat.has_forward_hooks(module), register


# ---- modules and weights -----------------------------------------------------------------------


@canary("MODULE_TABLES", "own_parameters", "own_buffers", "own_modules", "non_persistent_buffers",
        breaks="everything that replaces parameters: parallelize, materialize, capture")  # fmt: skip
def _module_tables() -> None:
    module = nn.BatchNorm1d(3)
    module.register_buffer("scratch", torch.zeros(1), persistent=False)
    module.child = nn.Linear(1, 1)
    for table, names in (
        (compat.own_parameters(module), {"weight", "bias"}),
        (compat.own_buffers(module), {"running_mean", "running_var", "num_batches_tracked", "scratch"}),
        (compat.own_modules(module), {"child"}),
    ):
        assert set(table) == names
        assert any(table is module.__dict__[key] for key in compat.MODULE_TABLES)
    assert compat.non_persistent_buffers(module) == {"scratch"}
    replaced = nn.Parameter(torch.ones(3))
    compat.own_parameters(module)["weight"] = replaced
    assert module.weight is replaced


@canary(
    "TRUNC_NORMAL", breaks="materialize: truncated normal initializers run on meta tensors, and do nothing"
)
def _trunc_normal() -> None:
    from unittest.mock import patch

    with patch.object(nn.init, compat.TRUNC_NORMAL) as inner:
        nn.init.trunc_normal_(torch.zeros(2))
    inner.assert_called_once()


@canary("op_schema", "op_basename", breaks="materialize: which operations overwrite a tensor is not known")
def _schema() -> None:
    op = torch.ops.aten.fill_.Scalar
    assert compat.op_basename(op) == "fill_"
    first = compat.op_schema(op).arguments[0]
    assert first.name == "self"
    assert first.alias_info.is_write


# ---- apply -------------------------------------------------------------------------------------------


def _dtensor(placement: Any = None) -> DTensor:
    mesh = init_device_mesh("cpu", (1,), mesh_dim_names=("tp",))
    return DTensor.from_local(torch.ones(2, 3), mesh, [placement or Shard(0)])


@canary("local_tensor", "dtensor_spec", breaks="apply: the local computation on a parameter and its gradient")
def _dtensors() -> None:
    tensor = _dtensor()
    assert torch.equal(compat.local_tensor(tensor), torch.ones(2, 3))
    spec = compat.dtensor_spec(tensor)
    assert (spec.mesh, tuple(spec.placements)) == (tensor.device_mesh, tuple(tensor.placements))
    made: Any = DTensor
    assert made(torch.zeros(2, 3), spec, requires_grad=False).placements == tensor.placements


@canary(
    "is_strided_shard",
    breaks="apply and checkpoints: a shard of FSDP on a dim that tp splits lands elsewhere",
)
def _strided() -> None:
    from torch.distributed.tensor.placement_types import _StridedShard

    assert compat.is_strided_shard(_StridedShard(0, split_factor=2))
    assert not compat.is_strided_shard(Shard(0))
    assert not compat.is_strided_shard(Replicate())


@canary("FUNCTIONAL_COLLECTIVES", "FUNCTIONAL_COLLECTIVE_NAMES", "group_by_name",
        breaks="apply: collectives in compiled and recomputed regions")  # fmt: skip
def _collectives() -> None:
    group = torch.distributed.group.WORLD
    assert compat.group_by_name(group.group_name) is group
    ops, x = compat.FUNCTIONAL_COLLECTIVES, torch.ones(2)
    for result in (
        ops.all_reduce.default(x, "sum", group.group_name),
        ops.all_gather_into_tensor.default(x, 1, group.group_name),
        ops.reduce_scatter_tensor.default(x, "sum", 1, group.group_name),
        ops.all_to_all_single.default(x, [2], [2], group.group_name),
    ):
        assert torch.equal(ops.wait_tensor.default(result), x)
    for name in compat.FUNCTIONAL_COLLECTIVE_NAMES:
        space, _, own = name.partition(".")
        assert hasattr(getattr(torch.ops, space), own), name


@canary("use_count", breaks="apply: a gradient that autograd shares is scaled in place for somebody else")
def _use_count() -> None:
    seen = []

    class Counting(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return x.view_as(x)

        @staticmethod
        def backward(_: Any, gradient: Any) -> Any:
            seen.append(compat.use_count(gradient))
            return gradient

    x = torch.zeros(2, requires_grad=True)
    (Counting.apply(x) * 2).sum().backward()
    alone = seen.pop()
    ((Counting.apply(x) + Counting.apply(x)) * 2).sum().backward()  # both get the same tensor
    assert max(seen) > alone


@canary("flatten_mesh", breaks="apply: the norm of gradients takes one collective an axis")
def _flatten() -> None:
    mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
    compat.flatten_mesh(mesh[("dp", "tp")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mesh["dp_tp"].size() == 1


@canary("make_wrapper_subclass", breaks="apply: vocabulary-parallel logits")
def _wrapper() -> None:
    class Shown(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise NotImplementedError

    made = compat.make_wrapper_subclass(Shown, (2, 8), dtype=torch.float32, device="cpu")
    assert (type(made), tuple(made.shape)) == (Shown, (2, 8))


@canary("assert_async", breaks="apply: a target out of bounds on the GPU goes unnoticed")
def _assert_async() -> None:
    compat.assert_async(torch.tensor(True), "fine")
    with pytest.raises(RuntimeError, match="out of bounds"):
        compat.assert_async(torch.tensor(False), "out of bounds")


# ---- train --------------------------------------------------------------------------------------------


@canary("foreach_mul_", "foreach_clamp_min_", "foreach_clamp_max_", "foreach_norm",
        breaks="train: clipping of gradients")  # fmt: skip
def _foreach() -> None:
    tensors = [torch.tensor([3.0, -4.0]), torch.tensor([5.0])]
    assert [float(n) for n in compat.foreach_norm(tensors, 2.0, dtype=torch.float64)] == [5.0, 5.0]
    compat.foreach_mul_(tensors, torch.tensor(2.0))
    compat.foreach_clamp_min_(tensors, -7.0)
    compat.foreach_clamp_max_(tensors, 8.0)
    assert [tensor.tolist() for tensor in tensors] == [[6.0, -7.0], [8.0]]


@canary("unscale_and_check_", breaks="train: the gradient scaler of fp16 training")
def _unscale() -> None:
    found, good, bad = torch.zeros(1), torch.tensor([4.0]), torch.tensor([float("inf")])
    compat.unscale_and_check_([good], found, torch.tensor([0.5]))
    assert (float(good), float(found)) == (2.0, 0.0)
    compat.unscale_and_check_([bad], found, torch.tensor([0.5]))
    assert float(found) == 1.0


@canary("group_device_types", breaks="train: where numbers are put before ranks compare them")
def _device_types() -> None:
    assert "cpu" in compat.group_device_types(torch.distributed.group.WORLD)


@canary("all_gather_options", breaks="apply: the all-gather of large slices along an inner dim")
def _all_gather_options() -> None:
    assert [compat.all_gather_options(async_op).asyncOp for async_op in (False, True)] == [False, True]


@canary("fsdp_param_groups", breaks="train: accumulation without reduction is not undone after an exception")
def _fsdp() -> None:
    module = nn.Linear(2, 2)
    fully_shard(module, mesh=init_device_mesh("cpu", (1,)))
    groups = [group for group in compat.fsdp_param_groups(module) if group is not None]
    assert groups
    module.set_requires_gradient_sync(False)
    assert [group.reduce_grads for group in groups] == [False] * len(groups)
    assert all(hasattr(group, "all_reduce_grads") for group in groups)


@canary("grad_scaler_device", breaks="lightning/precision_plugins.py: the scaler of mixed precision")
def _scaler() -> None:
    assert compat.grad_scaler_device(torch.amp.GradScaler("cpu")) == "cpu"


# ---- checkpoints ------------------------------------------------------------------------------------


@canary("WRAPPER_ATTRIBUTES", "without_compiler", "without_compilation", breaks="modules that are wrapped")
def _wrappers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

        module = nn.Sequential(checkpoint_wrapper(nn.Linear(1, 1)), torch.compile(nn.Linear(1, 1)))
    inner = {name.split(".")[1] for name, _ in module.named_parameters()}
    assert inner == compat.WRAPPER_ATTRIBUTES
    with compat.without_compilation():
        assert torch.equal(torch.compile(torch.sin, backend=pytest.fail)(torch.ones(1)), torch.ones(1).sin())
    assert compat.without_compiler(torch.compile(module)) is compat.without_compiler(module) is module


@canary("unflatten_state_dict", breaks="checkpoints: reading what torch.distributed.checkpoint has flattened")
def _unflatten() -> None:
    from torch.distributed.checkpoint._nested_dict import flatten_state_dict

    state = {"a": {"b": torch.ones(1), "c": [1, 2]}}
    flat, mapping = flatten_state_dict(state)
    assert compat.unflatten_state_dict(flat, mapping) == state


@canary("FsspecReader", "FsspecWriter", breaks="checkpoints: folders on remote storage")
def _fsspec() -> None:
    pytest.importorskip("fsspec")
    assert hasattr(compat.FsspecReader, "read_metadata")
    writer: Any = compat.FsspecWriter
    assert {"prepare_local_plan", "prepare_global_plan", "storage_meta", "finish"} <= set(dir(writer))
