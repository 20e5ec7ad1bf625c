"""What one rank does with a mutated model: it runs it split and unsplit for two steps, and compares."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn import functional

from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.torch.apply.apply_lowered import apply_lowered
from planc.torch.apply.full_tensor import full_tensor
from planc.torch.apply.vocab_parallel import VocabParallelLogits
from planc.torch.verify.local_view import LocalView
from planc.torch.verify.no_dropout import disable_dropout
from planc.torch.verify.random_loss import named_outputs
from planc.torch.verify.reference_run import cast_floats
from tests.hunt.models.model_bases import Call, model_base
from tests.hunt.models.mutated_model import Key, mutated_model

STEPS = 2
LONGEST_MOVE = 0.02
"""How far the entry with the largest gradient moves between the steps: a model that diverges says nothing."""
NO_MODEL = "no model"
"""The unsplit model raises, or gives no finite numbers."""


class MutantTask(Record):
    """A mutated model, and how to split it."""

    key: Key
    meeting: str
    """The begin of the names of files by which ranks say that they have ended."""
    lowered: Lowered | None
    """None: only the unsplit model runs."""
    sizes: tuple[tuple[str, int], ...]
    sharded_outputs: tuple[str, ...]


class Step(Record):
    """What a model computes in one step."""

    outputs: Mapping[str, Tensor]
    loss: float
    gradients: Mapping[str, Tensor | None]
    buffers: Mapping[str, Tensor]

    @property
    def largest_gradient(self) -> float:
        """The largest entry of all gradients."""
        known = [g for g in self.gradients.values() if g is not None and g.numel()]
        return max((float(g.abs().max()) for g in known), default=0.0)

    @property
    def rate(self) -> float:
        """The length of a step of the optimizer, times the gradient."""
        return LONGEST_MOVE / max(self.largest_gradient, 1e-6)


class NoModelError(Exception):
    """The unsplit model is no model."""


_unsplit: dict[Any, tuple[Step, ...]] = {}
_meshes: dict[Any, DeviceMesh] = {}


def compare_mutant(task: MutantTask) -> str:
    """Run a task on this rank. Returns what is wrong, or nothing.

    Where all ranks raise or return, none of them waits for another, and they may run the next task.
    """
    try:
        return _compare(task)
    except Exception as error:
        _end(task)
        if not _all_end(task):
            raise
        text = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {text}"[:300]
    finally:
        _end(task)


def _end(task: MutantTask) -> None:
    Path(f"{task.meeting}.{dist.get_rank()}").touch()


def _all_end(task: MutantTask) -> bool:
    """Wait a little for the other ranks."""
    for _ in range(100):
        if all(Path(f"{task.meeting}.{rank}").exists() for rank in range(dist.get_world_size())):
            return True
        time.sleep(0.01)
    return False


def _compare(task: MutantTask) -> str:
    torch.use_deterministic_algorithms(mode=False)
    if task.sizes not in _meshes:
        names, sizes = zip(*task.sizes, strict=True)
        _meshes[task.sizes] = init_device_mesh("cpu", sizes, mesh_dim_names=names)
    mesh = _meshes[task.sizes]
    key, lowered = task.key, task.lowered
    losses = [axis for axis in lowered.tensor if axis.splits_logits] if lowered is not None else []
    logits = ".".join(map(str, losses[0].logits_path)) if losses else None
    try:
        expected = unsplit_steps(key, logits)
    except Exception as error:  # noqa: BLE001  # a mutated model may raise anything
        return f"{NO_MODEL}: {type(error).__name__}: {str(error)[:200]}"
    if lowered is None:
        return ""
    return next(SplitRun(key, task, lowered, mesh, logits).differences(expected), "")


def unsplit_steps(key: Key, logits: str | None) -> tuple[Step, ...]:
    """What the unsplit model computes on the batch of all data ranks.

    Raises:
        NoModelError: it gives no finite numbers.
    """
    name = (key, logits)
    if name not in _unsplit:
        while len(_unsplit) > 8:
            _unsplit.pop(next(iter(_unsplit)))
        _unsplit[name] = tuple(_train(key, logits))
    return _unsplit[name]


def _train(key: Key, logits: str | None) -> Iterator[Step]:
    base, model = model_base(key.base), _model(key)
    for number in range(STEPS):
        args, kwargs = in_float64(base.call(key.rows, number + 1))
        outputs = named_outputs(model(*args, **kwargs))
        loss = random_loss(outputs, outputs, logits, number, {})
        if loss.requires_grad:
            torch.autograd.backward([loss])
        step = Step(
            {name: output.detach().clone() for name, output in outputs.items()},
            float(loss),
            {name: copied(param.grad) for name, param in model.named_parameters(remove_duplicate=False)},
            {name: buffer.detach().clone() for name, buffer in model.named_buffers()},
        )
        tensors = [*step.outputs.values(), *(g for g in step.gradients.values() if g is not None)]
        if not all(bool(torch.isfinite(x).all()) for x in tensors):
            raise NoModelError("not finite")
        yield step
        descend(model, step.rate)


def _model(key: Key) -> nn.Module:
    """The model in float64, without dropout: planc draws other numbers than the unsplit model."""
    model = mutated_model(key).model.double()
    disable_dropout(model)
    return model


class SplitRun:
    """A split model, and its differences from the unsplit one."""

    def __init__(
        self, key: Key, task: MutantTask, lowered: Lowered, mesh: DeviceMesh, logits: str | None
    ) -> None:
        self.base, self.key, self.task, self.logits = model_base(key.base), key, task, logits
        self.view = LocalView(lowered, mesh)
        self.model = _model(key)
        apply_lowered(self.model, lowered, mesh)

    def differences(self, expected: tuple[Step, ...]) -> Iterator[str]:
        """What differs, in order. All ranks run to the end, whatever they find."""
        found = [line for number, step in enumerate(expected) for line in self._step(number, step)]
        yield from found

    def _step(self, number: int, expected: Step) -> Iterator[str]:
        rows = self.key.rows
        args, kwargs = in_float64(self.view.local_batch(self.base.call(rows, number + 1), rows))
        outputs = named_outputs(self.model(*args, **kwargs))
        yield from self._compare_outputs(outputs, expected, number)
        loss = random_loss(
            outputs, expected.outputs, self.logits, number,
            {name: self._piece(name, full, outputs) for name, full in expected.outputs.items()},
        )  # fmt: skip
        if loss.requires_grad:
            torch.autograd.backward([loss])
        if number == STEPS - 1:
            # Each comparison gathers a tensor. Those of the first step are in the weights of the second.
            yield from self._compare_gradients(expected, number)
        yield from self._compare_buffers(expected, number)
        descend(self.model, expected.rate)

    def _compare_outputs(self, outputs: Mapping[str, Tensor], expected: Step, number: int) -> Iterator[str]:
        for name, full in expected.outputs.items():
            actual = outputs.get(name)
            if actual is None:
                yield f"step {number}: output {name} is missing"
                continue
            if isinstance(actual, VocabParallelLogits):
                actual = actual.full_tensor()
            if actual.ndim == 0 and actual.is_floating_point() and self.view.data_ranks > 1:
                actual = mean_of_ranks(actual)
            piece = self._piece(name, full, {**outputs, name: actual})[0]
            yield from self._differs(f"step {number}: output {name}", actual, piece, 0.0)

    def _piece(self, name: str, full: Tensor, outputs: Mapping[str, Tensor]) -> tuple[Tensor, float]:
        """The part of a full tensor that this rank's output should be, and what its sum counts: more where each
        data rank has its own rows, since their gradients are averaged."""
        actual = outputs.get(name)
        if actual is None:
            return full, 1.0
        local, count = full, 1.0
        for dim in range(min(full.ndim, actual.ndim)):
            if self.view.data_ranks > 1 and full.shape[dim] == actual.shape[dim] * self.view.data_ranks:
                local, count = (
                    full.chunk(self.view.data_ranks, dim)[self.view.data_rank],
                    float(self.view.data_ranks),
                )
                break
        for rank, ranks in self.view.tensor_coordinates if self._is_sharded(name, outputs) else ():
            for dim in range(min(local.ndim, actual.ndim)):
                if local.shape[dim] == actual.shape[dim] * ranks and ranks > 1:
                    local = local.chunk(ranks, dim)[rank]
                    break
        return local, count

    def _is_sharded(self, name: str, outputs: Mapping[str, Tensor]) -> bool:
        position = str(list(outputs).index(name))
        return bool({name, name.partition(".")[0], position} & set(self.task.sharded_outputs))

    def _compare_gradients(self, expected: Step, number: int) -> Iterator[str]:
        params = dict(self.model.named_parameters(remove_duplicate=False))
        largest = expected.largest_gradient
        for name, full in expected.gradients.items():
            grad = params[name].grad if name in params else None
            if full is None and grad is None:
                continue
            actual = None if grad is None else full_tensor(grad)
            wanted = torch.zeros_like(actual) if full is None else full  # type: ignore[arg-type]
            if actual is None:
                actual = torch.zeros_like(wanted)
            wanted = self.view.in_shard_order(wanted, name)
            yield from self._differs(f"step {number}: gradient {name}", actual, wanted, largest)

    def _compare_buffers(self, expected: Step, number: int) -> Iterator[str]:
        buffers = dict(self.model.named_buffers())
        for name, full in expected.buffers.items():
            actual = buffers.get(name)
            if actual is None:
                yield f"step {number}: buffer {name} is missing"
                continue
            actual = full_tensor(actual)
            yield from self._differs(f"step {number}: buffer {name}", actual, full, 0.0)

    def _differs(self, what: str, actual: Tensor, expected: Tensor, largest: float) -> Iterator[str]:
        if actual.shape != expected.shape:
            yield f"{what} has shape {tuple(actual.shape)}, not {tuple(expected.shape)}"
            return
        if not expected.numel():
            return
        if not (expected.is_floating_point() or expected.is_complex()):
            if not torch.equal(actual, expected):
                yield f"{what} differs"
            return
        error, scale = float((actual.detach() - expected).abs().max()), float(expected.abs().max())
        allowed = self.base.tolerance * max(scale, 0.1 * largest)
        if not error <= allowed:
            yield f"{what} is off by {error / max(scale, 1e-300):.2g} of its largest entry"


def random_loss(
    outputs: Mapping[str, Tensor],
    shaped: Mapping[str, Tensor],
    logits: str | None,
    seed: int,
    pieces: Mapping[str, tuple[Tensor, float]],
) -> Tensor:
    """The cross entropy of split logits, and the product of every other output with random numbers.

    Args:
        outputs: of this rank.
        shaped: those of the unsplit model, for their shapes.
        logits: the output that cross entropy is computed of.
        pieces: by name, this rank's part of the unsplit output, and what its sum counts.
    """
    total = torch.zeros((), dtype=torch.float64)
    for index, (name, full) in enumerate(shaped.items()):
        output = outputs.get(name)
        generator = torch.Generator().manual_seed(1000 * seed + index)
        if output is None or not output.is_floating_point() or not output.requires_grad:
            continue
        if name == logits:
            labels = torch.randint(0, full.shape[-1], full.shape[:-1], generator=generator)
            own = labels if name not in pieces else _like(labels, full, output, pieces[name])
            total = total + functional.cross_entropy(output.flatten(0, -2), own.flatten())
            continue
        coefficients = torch.randn(full.shape, generator=generator, dtype=torch.float64)
        count = 1.0
        if name in pieces:
            count = pieces[name][1]
            coefficients = _like(coefficients, full, output, pieces[name])
        if coefficients.shape == output.shape:
            total = total + (output * coefficients).sum() * count
    return total


def _like(numbers: Tensor, full: Tensor, output: Tensor, piece: tuple[Tensor, float]) -> Tensor:
    """The part of numbers that lies where the piece lies in the full tensor."""
    start = piece[0].storage_offset() - full.storage_offset()
    for dim in range(numbers.ndim):
        if piece[0].shape[dim] != numbers.shape[dim]:
            own = piece[0].shape[dim]
            first = start // full.stride(dim) % full.shape[dim]
            numbers = numbers.narrow(dim, first, own)
    return numbers


def in_float64(call: Call) -> Call:
    made: Call = cast_floats(call, torch.float64)
    return made


def copied(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.detach().clone()


def mean_of_ranks(x: Tensor) -> Tensor:
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def descend(model: nn.Module, rate: float) -> None:
    """A step of gradient descent, of every rank on its own shards."""
    with torch.no_grad():
        for param in model.parameters():
            if param.grad is not None:
                _local(param).add_(_local(param.grad), alpha=-rate)
            param.grad = None


def _local(x: Tensor) -> Tensor:
    return x.to_local() if isinstance(x, DTensor) else x
