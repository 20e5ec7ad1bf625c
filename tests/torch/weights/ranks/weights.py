"""What the ranks do in a case. Each raises an AssertionError, or returns what the test looks at."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

import planc
from planc.torch.apply.local_slice import local_slice
from planc.torch.apply.packed_params import full_param, packed_params
from planc.torch.weights.load_targets import detached_local, load_targets
from tests.judge.families import FAMILIES
from tests.shared_files import captured_graph


def build_model(family: str, seed: int = 0, **other: Any) -> Any:
    """A small model of a family, without dropout."""
    import transformers

    cls = getattr(transformers, FAMILIES[family].model)
    config = cls.config_class(**{**FAMILIES[family].settings, **other})
    for name in dir(config):
        if ("dropout" in name or "pdrop" in name) and isinstance(getattr(config, name), float):
            setattr(config, name, 0.0)
    config._experts_implementation = "batched_mm"
    torch.manual_seed(seed)
    return cls(config)


def make_mesh(dp: int, tp: int) -> DeviceMesh:
    return init_device_mesh("cpu", (dp, tp), mesh_dim_names=("dp", "tp"))


def parallelized(model: nn.Module, family: str, mesh: DeviceMesh) -> Any:
    graph = captured_graph(FAMILIES[family].reference, in_this_process=True)
    return planc.parallelize(model, family, mesh, graph=graph)


def full_tensor(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def assert_equal_states(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        got = full_tensor(found[name])
        assert got.shape == value.shape, name
        assert torch.equal(got, value), name


def state_dict_round_trip(family: str, dp: int, tp: int) -> int:
    """The state dict is the unsplit model's; it can be loaded, whole or in slices."""
    reference = build_model(family)
    model = parallelized(copy.deepcopy(reference), family, make_mesh(dp, tp))
    shown = model.state_dict()
    assert_equal_states(shown, reference.state_dict())
    for name, value in reference.named_parameters():
        assert torch.equal(full_param(model, name), value), name
    kept = {name: value.clone() for name, value in shown.items()}
    options = StateDictOptions(full_state_dict=True)
    other = build_model(family, seed=1).state_dict()
    set_model_state_dict(model, {n: v.clone() for n, v in other.items()}, options=options)
    assert_equal_states(get_model_state_dict(model), other)
    # Back, and not only in what is shown: the parameters themselves are what they were.
    model.load_state_dict(kept)
    for name, value in reference.named_parameters():
        assert torch.equal(full_param(model, name), value), name
    return sum(isinstance(value, DTensor) for value in shown.values())


def step_with_fixed_gradients(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 2) -> None:
    """Steps with gradients that are made up, the same for every layout."""
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        for name, parameter in model.named_parameters():
            parameter.grad = distribute_like(torch.randn(parameter.shape, generator=generator), model, name)
        optimizer.step()
        optimizer.zero_grad()


def distribute_like(value: Tensor, model: nn.Module, name: str) -> Tensor:
    """A tensor in the model's order, laid out as a parameter is."""
    owner, _, own = name.rpartition(".")
    parameter = model.get_parameter(name)
    if not isinstance(parameter, DTensor):
        return value
    fused = packed_params(model.get_submodule(owner)).get(own)
    stored = value if fused is None else value.index_select(fused.dim, fused.stored_order(value.device))
    box = tuple(slice(first, first + size) for first, size in local_slice(parameter))
    return DTensor.from_local(
        stored[box].contiguous(), parameter.device_mesh, parameter.placements,
        run_check=False, shape=parameter.shape, stride=parameter.stride(),
    )  # fmt: skip


def save_sharded(family: str, dp: int, tp: int, folder: str) -> None:
    """Train on one mesh, and save the model and the optimizer."""
    _save(parallelized(build_model(family), family, make_mesh(dp, tp)), folder)


def save_unsharded(family: str, folder: str) -> None:
    """The same with a model that was never split."""
    _save(build_model(family), folder)


def _save(model: nn.Module, folder: str) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    step_with_fixed_gradients(model, optimizer)
    state = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, optimizer)}
    dcp.save(state, checkpoint_id=folder)


def resume_on_mesh(family: str, dp: int, tp: int, folder: str, raw: bool = False) -> None:
    """Load on another mesh: model and optimizer are those of a model that was never split."""
    reference = build_model(family)
    wanted = torch.optim.AdamW(reference.parameters(), lr=0.01)
    step_with_fixed_gradients(reference, wanted)
    model: Any = build_model(family, seed=1)
    if dp * tp > 1:
        model = parallelized(model, family, make_mesh(dp, tp))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    state = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, optimizer)}
    dcp.load(state, checkpoint_id=folder)
    set_model_state_dict(model, state["model"])
    if raw:
        # An optimizer of its own, that never stepped, and torch's own names: numbers.
        plain = optimizer.state_dict()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        names = [name for name, _ in model.named_parameters()]
        plain["state"] = {i: state["optimizer"]["state"][name] for i, name in enumerate(names)}
        optimizer.load_state_dict(plain)
    else:
        set_optimizer_state_dict(model, optimizer, state["optimizer"])
    assert_close_states(model, optimizer, reference, wanted)
    step_with_fixed_gradients(reference, wanted, 1)
    step_with_fixed_gradients(model, optimizer, 1)
    assert_close_states(model, optimizer, reference, wanted)


def assert_close_states(model: nn.Module, optimizer: Any, reference: nn.Module, wanted: Any) -> None:
    shown, whole_state = get_model_state_dict(model), reference.state_dict()
    for name, value in whole_state.items():
        torch.testing.assert_close(full_tensor(shown[name]), value, msg=lambda m, n=name: f"{n}: {m}")
    states = get_optimizer_state_dict(model, optimizer)["state"]
    for name, values in get_optimizer_state_dict(reference, wanted)["state"].items():
        for key, value in values.items():
            torch.testing.assert_close(
                full_tensor(states[name][key]), value, msg=lambda m, n=name: f"{n}: {m}"
            )


def write_weight_files(family: str, folder: str, **other: Any) -> None:
    """A folder as transformers writes it, a file of torch.save, and one with a fault in several places."""
    model = build_model(family, seed=3, **other)
    model.save_pretrained(folder, max_shard_size="200kB")
    torch.save(model.state_dict(), f"{folder}/whole.pt")
    wrong = model.state_dict()
    _, second, third, *_ = wrong
    wrong["left.over"] = torch.zeros(2)
    wrong[second] = torch.zeros(3)
    del wrong[third]
    torch.save(wrong, f"{folder}/wrong.pt")


def write_checkpoint(family: str, dp: int, tp: int, folder: str) -> None:
    """A distributed checkpoint, of the model alone, and of the model among other things."""
    model = parallelized(build_model(family, seed=3), family, make_mesh(dp, tp))
    state = get_model_state_dict(model)
    dcp.save(state, checkpoint_id=f"{folder}/alone")
    dcp.save({"model": state, "optimizer": {"lr": torch.zeros(2)}}, checkpoint_id=f"{folder}/among")


def load_on_mesh(family: str, dp: int, tp: int, path: str) -> list[int]:
    """Load into a split model. Returns the bytes read, and those of the slices this rank holds."""
    from planc.torch.weights.load import load_into

    reference = build_model(family, seed=3)
    model: Any = build_model(family, seed=1)
    if dp * tp > 1:
        model = parallelized(model, family, make_mesh(dp, tp))
    read = load_into(model, path)
    for name, value in reference.named_parameters():
        assert torch.equal(full_param(model, name), value), name
    assert_equal_states(get_model_state_dict(model), reference.state_dict())
    return [read, sum(detached_local(target.tensor).nbytes for target in load_targets(model))]


def load_rejected_file(family: str, dp: int, tp: int, path: str) -> list[str]:
    """A file that does not fit changes nothing."""
    model = parallelized(build_model(family), family, make_mesh(dp, tp))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        planc.load_weights(model, path)
    except planc.WeightsError as bad:
        assert_equal_states(model.state_dict(), {name: full_tensor(value) for name, value in before.items()})
        return list(bad.faults)
    raise AssertionError("it was taken")


def build_on_meta(family: str, **other: Any) -> Any:
    with torch.device("meta"):
        return build_model(family, **other)


def materialize_on_mesh(family: str, dp: int, tp: int, path: str = "") -> float:
    """Numbers as the unsplit model has them. Returns the most memory of whole tensors meanwhile, as
    a share of the model's."""
    from planc.torch.weights.materialize import materialize_model as give

    reference = build_model(family, seed=3)
    model = build_on_meta(family)
    if dp * tp > 1:
        model = parallelized(model, family, make_mesh(dp, tp))
    peak = give(model, None, None, path, None) if path else give(model, None, 3, None, None)
    assert_equal_states(model.state_dict(), reference.state_dict())
    ties = {id(p) for p in reference.parameters()}
    assert len({id(p) for p in model.parameters()}) == len(ties)
    for name, buffer in reference.named_buffers():
        assert torch.equal(model.get_buffer(name), buffer), name
        assert model.get_buffer(name).dtype == buffer.dtype, name
    if "ForCausalLM" in FAMILIES[family].model or "LMHead" in FAMILIES[family].model:
        # The plans' FSDP computes in bf16.
        assert_same_loss(model, reference, 1e-5 if dp == 1 else 2e-4)
    return peak / sum(p.nbytes for p in reference.parameters())


def assert_same_loss(model: Any, reference: Any, tolerance: float) -> None:
    """A model that was on meta runs."""
    ids = torch.arange(32).reshape(2, 16)
    found, wanted = (m.eval()(input_ids=ids, labels=ids).loss for m in (model, reference))
    torch.testing.assert_close(full_tensor(found), wanted, rtol=tolerance, atol=0)
