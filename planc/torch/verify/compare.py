"""What one rank does for a task: run the split model and the unsplit one, and compare."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.ir.verify_result import ComparedKind, TensorComparison
from planc.torch.apply.apply_lowered import apply_lowered
from planc.torch.apply.full_tensor import full_tensor
from planc.torch.apply.vocab_parallel import VocabParallelLogits
from planc.torch.verify.error_scale import scaled_error
from planc.torch.verify.local_view import LocalView, batch_size
from planc.torch.verify.model_under_test import ModelUnderTest, build_model_under_test
from planc.torch.verify.no_dropout import NoDropout
from planc.torch.verify.random_loss import RandomLoss, named_outputs
from planc.torch.verify.reference_run import ReferenceRun, backward_terms, cast_floats, make_optimizer
from planc.torch.verify.scenarios import Scenario, make_scenarios

T = TypeVar("T")

MAX_CACHED = 8
"""How many models and reference runs a rank keeps: successive tasks are often about the same model."""
_ZERO_SCALE = 1e-30
"""The unit of a gradient that must be zero."""


class VerifyTask(Record):
    """A task for the ranks of a pool."""

    reference: str
    lowered: Lowered
    sizes: tuple[tuple[str, int], ...]
    """The axes of the mesh, outermost first."""
    sharded_outputs: tuple[str, ...]
    """Outputs that the plan leaves sharded, by name or position."""
    scenarios: tuple[str, ...]
    """Names."""
    steps: int
    seed: int
    inputs: tuple[str, ...] = ()
    """Inputs that the user has set, as `--input` takes them."""


_model_cache: dict[Any, ModelUnderTest] = {}
_reference_cache: dict[Any, ReferenceRun] = {}
_mesh_cache: dict[Any, DeviceMesh] = {}


def compare_on_rank(task: VerifyTask) -> list[TensorComparison]:
    """Run a task on this rank, in a process group of all ranks. Returns a comparison for each tensor."""
    torch.use_deterministic_algorithms(mode=False)
    if task.sizes not in _mesh_cache:
        _mesh_cache[task.sizes] = task_mesh(task)
    mesh = _mesh_cache[task.sizes]
    subject = _cached(
        _model_cache,
        (task.reference, task.seed, task.inputs),
        lambda: build_model_under_test(task.reference, task.seed, inputs=task.inputs),
    )
    local = LocalView(task.lowered, mesh)
    scenarios = {scenario.name: scenario for scenario in task_scenarios(subject, task)}
    comparisons: list[TensorComparison] = []
    for name in task.scenarios:
        comparisons += ShardedComparison(subject, scenarios[name], task, mesh, local).comparisons()
    return comparisons


def task_mesh(task: VerifyTask) -> DeviceMesh:
    """The mesh of a task, on the CPU."""
    names, sizes = zip(*task.sizes, strict=True)
    return init_device_mesh("cpu", sizes, mesh_dim_names=names)


def task_scenarios(subject: ModelUnderTest, task: VerifyTask) -> list[Scenario]:
    """All scenarios of a model on the mesh of a task."""
    sizes = dict(task.sizes)
    fsdp = task.lowered.fsdp
    data_axes = {fsdp.axis, fsdp.replicate} - {None} if fsdp else set()
    return make_scenarios(
        subject,
        tensor_ranks=math.prod(sizes[axis.axis] for axis in task.lowered.tensor),
        data_ranks=math.prod(size for name, size in task.sizes if name in data_axes),
        seed=task.seed,
    )


class ShardedComparison:
    """The split model in one scenario, and the reference run that it is compared with."""

    def __init__(
        self,
        subject: ModelUnderTest,
        scenario: Scenario,
        task: VerifyTask,
        mesh: DeviceMesh,
        local: LocalView,
    ) -> None:
        self.scenario, self.task, self.local = scenario, task, local
        losses = [axis for axis in task.lowered.tensor if axis.splits_logits]
        logits = ".".join(map(str, losses[0].logits_path)) if losses else None
        key = (
            task.reference,
            task.seed,
            scenario.name,
            logits,
            task.steps,
            local.data_ranks,
            tuple(ranks for _, ranks in local.tensor_coordinates),
        )
        self.reference = _cached(
            _reference_cache,
            key,
            lambda: ReferenceRun(subject.model, scenario, logits, self._steps(), task.seed),
        )
        self.model = copy.deepcopy(subject.model).to(self.reference.dtype)
        inputs = (scenario.args, dict(scenario.kwargs))
        self.inputs = cast_floats(local.local_batch(inputs, batch_size(inputs)), self.reference.dtype)
        apply_lowered(self.model, task.lowered, mesh)

    def _steps(self) -> int:
        """The optimizer makes steps in the first scenario alone."""
        return self.task.steps if self.scenario.name == self.task.scenarios[0] else 0

    def comparisons(self) -> Iterator[TensorComparison]:
        """Run the split model, and compare everything with the reference run. All ranks iterate together."""
        exact, scales = self.reference.exact, self.reference.output_scales
        with NoDropout():
            outputs = self._forward()
            for name, expected in exact.outputs.items():
                piece, _ = self.local_piece(name, expected, outputs)
                actual = outputs.get(name)
                actual = None if actual is None else self.local.mean_over_batch(expected, actual)
                yield self._compare("output", name, actual, piece, scales.get(name, 1.0))
            terms = self.loss_terms(outputs)
            yield from self._compare_losses(outputs, terms)
            backward_terms(terms)
            yield from self._compare_gradients(exact.gradients)
            yield from self._compare_weights_after_steps()

    @property
    def loss(self) -> RandomLoss:
        """The loss of the reference run."""
        assert self.reference.loss is not None
        return self.reference.loss

    def _forward(self) -> dict[str, Tensor]:
        args, kwargs = self.inputs
        torch.manual_seed(self.task.seed)
        return named_outputs(self.model(*args, **kwargs))

    def local_piece(self, name: str, full: Tensor, outputs: Mapping[str, Tensor]) -> tuple[Tensor, bool]:
        """The slice of a full output that this rank should have, and whether a tensor axis shards it."""
        actual = outputs.get(name)
        if actual is None:
            return full, False
        return self.local.local_result(full, actual.shape, may_be_sharded=self._may_be_sharded(name))

    def _may_be_sharded(self, name: str) -> bool:
        position = str(list(self.reference.exact.outputs).index(name))
        return bool({name, name.partition(".")[0], position} & set(self.task.sharded_outputs))

    def loss_terms(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms of this rank's loss, by output."""
        batch_shards = {
            name: self.local.batch_shards(full, outputs[name].shape)
            for name, full in self.loss.coefficients.items()
            if name in outputs
        }
        return self.loss.terms(outputs, self.local_coefficients(outputs), batch_shards)

    def local_coefficients(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This rank's slices of the loss's coefficients, for outputs of the right shape."""
        coefficients = {}
        for name, full in self.loss.coefficients.items():
            output = outputs.get(name)
            if output is None:
                continue
            shape = output.shape[: full.ndim] if name == self.loss.logits else output.shape
            own, _ = self.local.local_result(full, shape, may_be_sharded=self._may_be_sharded(name))
            if own.shape == shape:
                coefficients[name] = own
        return coefficients

    def _compare_losses(
        self, outputs: Mapping[str, Tensor], terms: Mapping[str, Tensor]
    ) -> Iterator[TensorComparison]:
        """The loss: the mean over the ranks, or the sum over those that have slices of its output."""
        for name, exact in self.reference.exact.terms.items():
            term = terms.get(name)
            if term is None:
                yield self._compare("loss", name, None, torch.tensor(exact), 1.0)
                continue
            _, is_sharded = self.local_piece(name, self.reference.exact.outputs[name], outputs)
            total = term.detach().clone().double()
            ranks = dist.get_world_size()
            dist.all_reduce(total)
            total = total / (ranks // self.local.tensor_coordinates[0][1] if is_sharded else ranks)
            expected = torch.tensor(exact, dtype=torch.float64)
            yield self._compare("loss", name, total, expected, self.reference.term_scales[name])

    def _compare_gradients(self, exact: Mapping[str, Tensor | None]) -> Iterator[TensorComparison]:
        params = dict(self.model.named_parameters(remove_duplicate=False))
        for name, expected in exact.items():
            param = params.get(name)
            grad = None if param is None else param.grad
            if expected is None and grad is None:
                continue
            if expected is None:
                assert grad is not None
                # A module that gets no work on one rank may have a gradient of zeros there.
                full = full_tensor(grad)
                yield self._compare("gradient", name, full, torch.zeros_like(full), _ZERO_SCALE)
                continue
            actual = None if grad is None else full_tensor(grad)
            if actual is None and not bool(expected.any()):
                continue
            expected = self.local.in_shard_order(expected, name)
            yield self._compare("gradient", name, actual, expected, self.reference.gradient_scales[name])

    def _compare_weights_after_steps(self) -> Iterator[TensorComparison]:
        """The weights after steps of an optimizer, all on the same batch."""
        steps = self._steps()
        if not steps:
            return
        optimizer = make_optimizer(self.model)
        for step in range(steps):
            if step:
                optimizer.zero_grad()
                backward_terms(self.loss_terms(self._forward()))
            optimizer.step()
        params = dict(self.model.named_parameters(remove_duplicate=False))
        for name, expected in self.reference.exact.weights.items():
            actual = full_tensor(params[name].detach()) if name in params else None
            expected = self.local.in_shard_order(expected, name)
            yield self._compare("weight", name, actual, expected, self.reference.weight_scales[name])

    def _compare(
        self, kind: ComparedKind, name: str, actual: Tensor | None, expected: Tensor, scale: float
    ) -> TensorComparison:
        if isinstance(actual, VocabParallelLogits):
            actual = actual.full_tensor()
        if actual is None:
            error, note = math.inf, "is missing"
        else:
            error, note = scaled_error(actual, expected, scale)
        return TensorComparison(kind, name, self.scenario.name, error, note)


def _cached(cache: dict[Any, T], key: Any, make: Callable[[], T]) -> T:
    if key not in cache:
        while len(cache) >= MAX_CACHED:
            cache.pop(next(iter(cache)))
        cache[key] = make()
    return cache[key]
